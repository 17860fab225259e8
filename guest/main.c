// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtio driver.
 *
 * A pstore source whose records are kept by the host: what a guest's kernel
 * says as it dies is found there, and in /sys/fs/pstore after the next boot.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "parts.h"

#define VPSTORE_BUFSIZE_DEFAULT	(16 * 1024)
/*
 * The host's number decides how much contiguous memory is allocated here: six
 * buffers of that size at most, and older kernels' pstore adds one of 5/3 of it.
 */
#define VPSTORE_BUFSIZE_MAX	(1024 * 1024)

static char *dump = "";
module_param(dump, charp, 0444);
MODULE_PARM_DESC(dump,
		 "raw: the driver dumps the whole log itself, uncompressed; reference: the same, but at a panic the host formats it; classic: pstore dumps and compresses (default raw where the device is made for it)");

static void vpstore_config_write_u32(struct virtio_device *vdev,
				     unsigned int offset, __le32 value)
{
	if (vdev->config->set &&
	    vpstore_config_len(vdev) >= offset + sizeof(value))
		vdev->config->set(vdev, offset, &value, sizeof(value));
}

static void vpstore_config_write(struct vpstore *vp)
{
	unsigned int i;
	__le32 word;

	vpstore_config_write_u32(vp->vdev, vpstore_config_offset(bufsize),
				 cpu_to_le32(vp->bufsize));
	if (!vp->extended)
		return;
	/* virtio_pci_modern BUG()s on fields larger than eight bytes. */
	for (i = 0; i < sizeof(vp->boot_id); i += sizeof(word)) {
		memcpy(&word, vp->boot_id + i, sizeof(word));
		vpstore_config_write_u32(vp->vdev,
					 vpstore_config_offset(boot_id) + i,
					 word);
	}
}

/*
 * The same for the whole boot, as the device takes what it is told first. Built
 * in, the driver is probed before there is a /proc that has the kernel's own,
 * and can't wait for one: with its first request the boot begins for the
 * device. A random number has to do then. It is in the log, which user space
 * keeps under the other one.
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

/* What the device takes, and so what the driver does. */
static void vpstore_configure(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	u32 size;

	vp->extended = virtio_has_feature(vdev, VIRTIO_PSTORE_F_EXTENDED);
	vp->panic_vq = virtio_has_feature(vdev, VIRTIO_PSTORE_F_PANIC_VQ);
	vp->types = BIT(VIRTIO_PSTORE_TYPE_DMESG);
	vpstore_quirks(vp);
	vpstore_boot_id(vdev, vp->boot_id);

	size = vpstore_config_read(vdev, vpstore_config_offset(bufsize));
	if (!size)
		size = VPSTORE_BUFSIZE_DEFAULT;
	vp->bufsize = PAGE_ALIGN(min_t(u32, size, VPSTORE_BUFSIZE_MAX));
	vp->max_data = vp->bufsize;
	if (vp->extended) {
		vp->types = vpstore_config_read(vdev,
						vpstore_config_offset(types));
		size = vpstore_config_read(vdev,
					   vpstore_config_offset(max_data));
		vp->max_data = max(size, 4096U);
	}

	if (sysfs_streq(dump, "raw") || sysfs_streq(dump, "reference"))
		vp->raw = true;
	else if (!sysfs_streq(dump, "classic"))
		vp->raw = vp->extended;
	/* Nobody may dump then. */
	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_DMESG))
		vp->raw = false;

	vp->dump_size = min_t(u32, vp->max_data, VPSTORE_DUMP_SIZE);
	if (!vp->raw)
		vp->dump_size = max(vp->dump_size, vp->bufsize);
}

static int vpstore_buffers_alloc(struct vpstore *vp)
{
	int ret;

	vp->command = vpstore_request_alloc(vp->bufsize);
	if (!vp->command)
		return -ENOMEM;
	ret = vpstore_pool_alloc(&vp->dumps,
				 vp->raw ? VPSTORE_DUMP_REQUESTS :
					   VPSTORE_CLASSIC_REQUESTS,
				 vp->dump_size);
	if (ret)
		vpstore_request_free(vp->command);
	vp->dumps.reserved = VPSTORE_PANIC_REQUESTS;
	return ret;
}

static void vpstore_buffers_free(struct vpstore *vp)
{
	vpstore_pool_free(&vp->dumps);
	vpstore_request_free(vp->command);
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
	if (vpstore_config_len(vdev) < vpstore_config_offset(magic))
		__virtio_clear_bit(vdev, VIRTIO_PSTORE_F_EXTENDED);
	return 0;
}

/*
 * Let what is under way arrive, before the device is stopped. There is time: a
 * quarter of what an oops may take.
 */
static void vpstore_quiesce(struct vpstore *vp)
{
	struct vpstore_budget budget;

	vpstore_budget_init(&budget, vpstore_timeout_ms(KMSG_DUMP_OOPS));
	vpstore_console_send_rest(vp);
	vpstore_settle(vp, &budget);
}

/* The virtio core's shutdown of the device comes after this. */
static int vpstore_on_reboot(struct notifier_block *nb, unsigned long event,
			     void *command)
{
	vpstore_quiesce(container_of(nb, struct vpstore, reboot_nb));
	return NOTIFY_DONE;
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
	ATOMIC_INIT_NOTIFIER_HEAD(&vp->events);
	for (i = 0; i < VPSTORE_QUEUES; i++)
		raw_spin_lock_init(&vp->queues[i].lock);

	vpstore_configure(vp);
	/* Rather smaller records than none, where memory is fragmented. */
	while ((ret = vpstore_buffers_alloc(vp)) &&
	       max(vp->bufsize, vp->dump_size) > PAGE_SIZE) {
		vp->bufsize = PAGE_ALIGN(vp->bufsize / 2);
		vp->dump_size = max_t(u32, vp->dump_size / 2,
				      vp->raw ? 4096 : vp->bufsize);
	}
	if (ret)
		goto err_free;
	if (sysfs_streq(dump, "reference") && !vpstore_reference_start(vp))
		dev_notice(&vdev->dev,
			   "the log can't be read where it lies: dumps are raw\n");
	vpstore_config_write(vp);

	ret = vpstore_queues_start(vp);
	if (ret)
		goto err_buffers;

	vpstore_pmsg_prepare(vp);
	ret = vpstore_pstore_register(vp);
	if (ret)
		goto err_queues;

	ret = vpstore_dump_register(vp);
	if (ret)
		goto err_pstore;
	vpstore_pmsg_start(vp);
	vpstore_console_start(vp);
	vpstore_listen_start(vp);
	vpstore_trace_start(vp);
	vp->reboot_nb.notifier_call = vpstore_on_reboot;
	register_reboot_notifier(&vp->reboot_nb);
	return 0;

err_pstore:
	vpstore_pstore_unregister(vp);
err_queues:
	vpstore_queues_stop(vp);
err_buffers:
	vpstore_buffers_free(vp);
err_free:
	vdev->priv = NULL;
	kfree(vp);
	return ret;
}

static void vpstore_remove(struct virtio_device *vdev)
{
	struct vpstore *vp = vdev->priv;

	unregister_reboot_notifier(&vp->reboot_nb);
	WRITE_ONCE(vp->removed, true);
	vpstore_pmsg_halt(vp);
	vpstore_dump_unregister(vp);
	vpstore_pstore_unregister(vp);
	vpstore_quiesce(vp);
	vpstore_queues_stop(vp);
	vpstore_trace_stop(vp);
	vpstore_listen_stop(vp);
	vpstore_console_stop(vp);
	vpstore_pmsg_stop(vp);
	vpstore_buffers_free(vp);
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
	vpstore_quiesce(vdev->priv);
	vpstore_queues_stop(vdev->priv);
	vpstore_console_halt(vdev->priv);
	return 0;
}

static int vpstore_restore(struct virtio_device *vdev)
{
	int ret;

	vpstore_config_write(vdev->priv);
	ret = vpstore_queues_start(vdev->priv);
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
