// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtio driver.
 *
 * A pstore source whose records are kept by the host: what a guest's kernel
 * says as it dies is found there, and in /sys/fs/pstore after the next boot.
 */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "vpstore.h"

#define VPSTORE_BUFSIZE_DEFAULT	(16 * 1024)
/*
 * The host's number decides how much contiguous memory is allocated here:
 * four buffers of that size, and older kernels' pstore adds one of 5/3 of it.
 */
#define VPSTORE_BUFSIZE_MAX	(1024 * 1024)

#define VPSTORE_BOOT_ID_FILE	"/proc/sys/kernel/random/boot_id"

static char *dump = "";
module_param(dump, charp, 0444);
MODULE_PARM_DESC(dump,
		 "raw: the driver dumps the whole log itself, uncompressed; reference: the same, but at a panic the host formats it; classic: pstore dumps and compresses (default raw where the device is made for it)");

static unsigned int chunk_kib = 128;
module_param(chunk_kib, uint, 0444);
MODULE_PARM_DESC(chunk_kib,
		 "Size of each buffer for raw dumps (KiB, 4 to 1024, default 128)");

static unsigned int chunks = 8;
module_param(chunks, uint, 0444);
MODULE_PARM_DESC(chunks, "Number of those buffers (4 to 32, default 8); two are a panic's own");

/* No version of the protocol uses these bits of the config's flags. */
#define VPSTORE_CONFIG_FL_NEVER	0xffff0000

/*
 * How far config space may be read. virtio_pci_modern BUG()s on a read beyond
 * its end, and behind a legacy device's ports are another's; neither end is to
 * be had from the virtio core. Other transports take any read, and answer it
 * with whatever they have.
 */
static u32 vpstore_config_len(struct virtio_device *vdev)
{
	struct pci_dev *pdev;
	u32 len;
	u8 type;
	int pos;

	if (!vdev->config->get)
		return 0;
	if (!dev_is_pci(vdev->dev.parent))
		return sizeof(struct virtio_pstore_config);

	pdev = to_pci_dev(vdev->dev.parent);
	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		len = pci_resource_len(pdev, 0);
		return len - min_t(u32, len, VIRTIO_PCI_CONFIG_OFF(true));
	}
	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_CFG_TYPE,
				     &type);
		if (type != VIRTIO_PCI_CAP_DEVICE_CFG)
			continue;
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_LENGTH, &len);
		return len;
	}
	return 0;
}

/* Whatever can't be read is 0: a transport may fail without a word. */
static u32 vpstore_config_read(struct virtio_device *vdev, unsigned int offset)
{
	__le32 value = 0;

	if (vpstore_config_len(vdev) >= offset + sizeof(value))
		vdev->config->get(vdev, offset, &value, sizeof(value));
	return le32_to_cpu(value);
}

/*
 * Whether the device has all that the feature bits are for, although its VMM
 * keeps them from us. What isn't a config reads as zeros or ones, or as
 * whatever lies there, but not as this number.
 */
static bool vpstore_config_magic(struct virtio_device *vdev)
{
	unsigned int offset = offsetof(struct virtio_pstore_config, magic);
	u64 magic = vpstore_config_read(vdev, offset + sizeof(u32));

	magic = magic << 32 | vpstore_config_read(vdev, offset);
	return magic == VIRTIO_PSTORE_CONFIG_MAGIC;
}

static void vpstore_config_write_u32(struct virtio_device *vdev,
				     unsigned int offset, __le32 value)
{
	if (vdev->config->set &&
	    vpstore_config_len(vdev) >= offset + sizeof(value))
		vdev->config->set(vdev, offset, &value, sizeof(value));
}

static void vpstore_config_write(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	unsigned int i, offset;
	__le32 word;

	vpstore_config_write_u32(vdev,
				 offsetof(struct virtio_pstore_config, bufsize),
				 cpu_to_le32(vp->bufsize));
	if (!vp->extended)
		return;
	/* virtio_pci_modern BUG()s on fields larger than eight bytes. */
	for (i = 0; i < sizeof(vp->boot_id); i += sizeof(word)) {
		memcpy(&word, vp->boot_id + i, sizeof(word));
		offset = offsetof(struct virtio_pstore_config, boot_id) + i;
		vpstore_config_write_u32(vdev, offset, word);
	}
}

/* Read the kernel's own boot id as user space does: it isn't exported. */
static bool vpstore_boot_id_read(u8 *id)
{
	char text[UUID_STRING_LEN + 1] = "";
	ssize_t len = 0;
	struct file *file;
	loff_t pos = 0;
	uuid_t uuid;

	file = filp_open(VPSTORE_BOOT_ID_FILE, O_RDONLY, 0);
	if (!IS_ERR(file)) {
		len = kernel_read(file, text, UUID_STRING_LEN, &pos);
		filp_close(file, NULL);
	}
	if (len != UUID_STRING_LEN || uuid_parse(text, &uuid))
		return false;
	export_uuid(id, &uuid);
	return true;
}

/*
 * The kernel's own boot id is the one to have: it stays the same when this
 * module is loaded again, and user space knows it as well (journald's
 * _BOOT_ID). Built in, the driver is probed before there is a /proc to read it
 * from, and can't wait for one: with its first request the boot begins for the
 * device. A random number has to do then, and stays. It is in the log, which
 * user space keeps under the other one.
 */
static void vpstore_boot_id(struct virtio_device *vdev, u8 *id)
{
	static u8 known[VIRTIO_PSTORE_BOOT_ID_LEN];

	if (!memchr_inv(known, 0, sizeof(known)) &&
	    !vpstore_boot_id_read(known)) {
		get_random_bytes(known, sizeof(known));
		dev_info(&vdev->dev, "boot id %*phN, as there is no /proc yet that has the kernel's\n",
			 VIRTIO_PSTORE_BOOT_ID_LEN, known);
	}
	memcpy(id, known, sizeof(known));
}

/*
 * The first devices of 2016 have a config of four bytes, without flags, and
 * nothing says so. What is read behind it is all ones in QEMU, and whatever
 * lies there in kvmtool: take it for flags only if it can be. Should it be
 * neither, the price is text of a type that such a device doesn't know.
 */
static bool vpstore_console_offered(struct virtio_device *vdev)
{
	u32 flags = vpstore_config_read(vdev,
					offsetof(struct virtio_pstore_config,
						 flags));

	if (flags & VPSTORE_CONFIG_FL_NEVER)
		return false;
	return flags & VIRTIO_PSTORE_CONFIG_FL_CONSOLE;
}

static u32 vpstore_bufsize(struct virtio_device *vdev)
{
	u32 size = vpstore_config_read(vdev,
				       offsetof(struct virtio_pstore_config,
						bufsize));

	if (!size)
		size = VPSTORE_BUFSIZE_DEFAULT;
	return PAGE_ALIGN(min_t(u32, size, VPSTORE_BUFSIZE_MAX));
}

/* What the device takes; without EXTENDED it is DMESG, and perhaps CONSOLE. */
static u32 vpstore_types(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	u32 types = BIT(VIRTIO_PSTORE_TYPE_DMESG);

	if (vp->extended)
		return vpstore_config_read(vdev,
					   offsetof(struct virtio_pstore_config,
						    types));
	if (vpstore_console_offered(vdev))
		types |= BIT(VIRTIO_PSTORE_TYPE_CONSOLE);
	return types;
}

/* Whether and with which buffers the driver itself takes text from the log. */
static void vpstore_choose(struct vpstore *vp)
{
	u32 limit = vp->bufsize;

	vp->types = vpstore_types(vp);

	if (sysfs_streq(dump, "raw") || sysfs_streq(dump, "reference"))
		vp->raw = true;
	else if (sysfs_streq(dump, "classic"))
		vp->raw = false;
	else
		vp->raw = vp->extended;
	/* Nobody may dump then. */
	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_DMESG))
		vp->raw = false;

	if (vp->raw || vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE))
		vp->chunk_count = clamp(chunks,
					(unsigned int)VPSTORE_CHUNKS_MIN,
					(unsigned int)VPSTORE_CHUNKS_MAX);

	if (vp->extended)
		limit = vpstore_config_read(vp->vdev,
					    offsetof(struct virtio_pstore_config,
						     max_data));
	vp->max_data = limit;
	vp->by_reference = vp->raw && sysfs_streq(dump, "reference") &&
			   vpstore_prb_init(vp);
	if (sysfs_streq(dump, "reference") && !vp->by_reference)
		dev_notice(&vp->vdev->dev,
			   "the log can't be read where it lies: dumps are raw\n");
	vp->chunk_size = clamp(chunk_kib, 4U, 1024U) * 1024;
	vp->chunk_size = max_t(u32, min(vp->chunk_size, limit), 4096);
}

/*
 * With indirect descriptors virtqueue_add() allocates memory for each
 * request, which a panic must not do. Both sides do without them well.
 *
 * With ACCESS_PLATFORM the buffers go through the DMA API, which may have to
 * find room in swiotlb (always in a confidential guest). It never sleeps, but
 * takes a spinlock, and waits for ever if its holder is a CPU that the panic
 * has stopped, or the code that an NMI has interrupted: no driver can promise
 * more. The bit is the host's to demand, so it stays.
 */
static int vpstore_validate(struct virtio_device *vdev)
{
	__virtio_clear_bit(vdev, VIRTIO_RING_F_INDIRECT_DESC);
	/* A transport with less config space than the feature promises. */
	if (vpstore_config_len(vdev) <
	    offsetof(struct virtio_pstore_config, magic))
		__virtio_clear_bit(vdev, VIRTIO_PSTORE_F_EXTENDED);
	return 0;
}

static int vpstore_probe(struct virtio_device *vdev)
{
	struct vpstore *vp;
	unsigned int i;
	int ret;

	vp = kzalloc(sizeof(*vp), GFP_KERNEL);
	if (!vp)
		return -ENOMEM;

	vdev->priv = vp;
	vp->vdev = vdev;
	mutex_init(&vp->command_lock);
	init_waitqueue_head(&vp->answered);
	for (i = 0; i < VPSTORE_QUEUES; i++)
		raw_spin_lock_init(&vp->queues[i].lock);

	vp->extended = virtio_has_feature(vdev, VIRTIO_PSTORE_F_EXTENDED);
	vp->panic_vq = virtio_has_feature(vdev, VIRTIO_PSTORE_F_PANIC_VQ);
	if (!vp->extended && vpstore_config_magic(vdev)) {
		vp->extended = true;
		vp->panic_vq = true;
	}
	vpstore_boot_id(vdev, vp->boot_id);
	vp->bufsize = vpstore_bufsize(vdev);
	vpstore_choose(vp);

	/* Rather smaller records than none, where memory is fragmented. */
	while ((ret = vpstore_slots_alloc(vp)) &&
	       max(vp->bufsize, vp->chunk_size) > PAGE_SIZE) {
		vp->bufsize = PAGE_ALIGN(vp->bufsize / 2);
		vp->chunk_size = max_t(u32, vp->chunk_size / 2, 4096);
	}
	if (ret)
		goto err_free;
	vpstore_config_write(vp);

	ret = vpstore_ring_start(vp);
	if (ret)
		goto err_slots;

	ret = vpstore_source_register(vp);
	if (ret)
		goto err_ring;

	ret = vpstore_dump_register(vp);
	if (ret)
		goto err_source;
	vpstore_pmsg_register(vp);
	vpstore_console_start(vp);
	vpstore_listen_start(vp);
	return 0;

err_source:
	vpstore_source_unregister(vp);
err_ring:
	vpstore_ring_stop(vp);
err_slots:
	vpstore_slots_free(vp);
err_free:
	vdev->priv = NULL;
	kfree(vp);
	return ret;
}

static void vpstore_remove(struct virtio_device *vdev)
{
	struct vpstore *vp = vdev->priv;

	WRITE_ONCE(vp->going, true);
	vpstore_pmsg_unregister(vp);
	vpstore_dump_unregister(vp);
	vpstore_source_unregister(vp);
	vpstore_console_settle(vp);
	vpstore_ring_stop(vp);
	vpstore_listen_stop(vp);
	vpstore_console_stop(vp);
	vpstore_slots_free(vp);
	vdev->priv = NULL;
	kfree(vp);
}

#ifdef CONFIG_PM_SLEEP
/*
 * pstore stays registered, so its files outlive a suspend; what it writes in
 * between fails at once.
 */
static int vpstore_freeze(struct virtio_device *vdev)
{
	vpstore_console_settle(vdev->priv);
	vpstore_ring_stop(vdev->priv);
	vpstore_console_halt(vdev->priv);
	return 0;
}

static int vpstore_restore(struct virtio_device *vdev)
{
	int ret;

	vpstore_config_write(vdev->priv);
	ret = vpstore_ring_start(vdev->priv);
	if (!ret)
		vpstore_console_resume(vdev->priv);
	return ret;
}
#endif

static const struct virtio_device_id vpstore_ids[] = {
	{ VIRTIO_ID_PSTORE, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, vpstore_ids);

static const unsigned int vpstore_features[] = {
	VIRTIO_PSTORE_F_EXTENDED,
	VIRTIO_PSTORE_F_PANIC_VQ,
};

static struct virtio_driver vpstore_driver = {
	.feature_table	= vpstore_features,
	.feature_table_size = ARRAY_SIZE(vpstore_features),
	.driver.name	= KBUILD_MODNAME,
	.driver.owner	= THIS_MODULE,
	.id_table	= vpstore_ids,
	.validate	= vpstore_validate,
	.probe		= vpstore_probe,
	.remove		= vpstore_remove,
#ifdef CONFIG_PM_SLEEP
	.freeze		= vpstore_freeze,
	.restore	= vpstore_restore,
#endif
};

/*
 * Built in, the driver is there before device_initcall, at which every
 * transport looks for its devices: so it is probed as soon as one is found,
 * wherever the two stand in the order of linking.
 */
static int __init vpstore_init(void)
{
	return register_virtio_driver(&vpstore_driver);
}
fs_initcall(vpstore_init);

static void __exit vpstore_exit(void)
{
	unregister_virtio_driver(&vpstore_driver);
}
module_exit(vpstore_exit);

MODULE_AUTHOR("The virtio-pstore authors");
MODULE_DESCRIPTION("Keeps a dying kernel's last words on the host (virtio-pstore)");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
