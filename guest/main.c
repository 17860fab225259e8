// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtio driver.
 *
 * A pstore source whose records are kept by the host: what a guest's kernel
 * says as it dies is found there, and in /sys/fs/pstore after the next boot.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
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

/* No version of the protocol uses these bits of the config's flags. */
#define VPSTORE_CONFIG_FL_NEVER	0xffff0000

/*
 * virtio_pci_modern BUG()s on a read beyond the end of config space, and its
 * length is not to be had from the virtio core.
 */
static u32 vpstore_config_len(struct virtio_device *vdev)
{
	struct pci_dev *pdev;
	u32 len;
	u8 type;
	int pos;

	if (!vdev->config->get)
		return 0;
	if (!dev_is_pci(vdev->dev.parent) ||
	    !virtio_has_feature(vdev, VIRTIO_F_VERSION_1))
		return sizeof(struct virtio_pstore_config);

	pdev = to_pci_dev(vdev->dev.parent);
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

static void vpstore_config_write(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	unsigned int offset = offsetof(struct virtio_pstore_config, bufsize);
	__le32 value = cpu_to_le32(vp->bufsize);

	if (vdev->config->set &&
	    vpstore_config_len(vdev) >= offset + sizeof(value))
		vdev->config->set(vdev, offset, &value, sizeof(value));
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

/*
 * With indirect descriptors virtqueue_add() allocates memory for each
 * request, which a panic must not do. Both sides do without them well.
 *
 * With ACCESS_PLATFORM the buffers go through the DMA API, which may have to
 * find room in swiotlb: never by sleeping, but no driver can promise more.
 * The bit is the host's to demand, so it stays.
 */
static int vpstore_validate(struct virtio_device *vdev)
{
	__virtio_clear_bit(vdev, VIRTIO_RING_F_INDIRECT_DESC);
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
	for (i = 0; i < VIRTIO_PSTORE_VQ_COUNT; i++)
		raw_spin_lock_init(&vp->queues[i].lock);

	/* Without the option, pstore never calls, and the slots would idle. */
	vp->console_offered = IS_ENABLED(CONFIG_PSTORE_CONSOLE) &&
			      vpstore_console_offered(vdev);

	/* Rather smaller records than none, where memory is fragmented. */
	vp->bufsize = vpstore_bufsize(vdev);
	while ((ret = vpstore_slots_alloc(vp)) && vp->bufsize > PAGE_SIZE)
		vp->bufsize = PAGE_ALIGN(vp->bufsize / 2);
	if (ret)
		goto err_free;
	vpstore_config_write(vp);

	ret = vpstore_ring_start(vp);
	if (ret)
		goto err_slots;

	ret = vpstore_source_register(vp);
	if (ret)
		goto err_ring;
	return 0;

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
	long dropped = atomic_long_read(&vp->console_dropped);

	vpstore_source_unregister(vp);
	vpstore_ring_stop(vp);
	if (dropped)
		dev_info(&vdev->dev, "%ld console writes were dropped\n",
			 dropped);
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
	vpstore_ring_stop(vdev->priv);
	return 0;
}

static int vpstore_restore(struct virtio_device *vdev)
{
	vpstore_config_write(vdev->priv);
	return vpstore_ring_start(vdev->priv);
}
#endif

static const struct virtio_device_id vpstore_ids[] = {
	{ VIRTIO_ID_PSTORE, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, vpstore_ids);

static struct virtio_driver vpstore_driver = {
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
module_virtio_driver(vpstore_driver);

MODULE_AUTHOR("The virtio-pstore authors");
MODULE_DESCRIPTION("Keeps a dying kernel's last words on the host (virtio-pstore)");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
