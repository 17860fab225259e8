// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: what user space has to say (pmsg).
 *
 * Where the kernel has CONFIG_PSTORE_PMSG, its /dev/pmsg0 ends here. Where it
 * has not, or another source has won pstore, the driver makes that node.
 *
 * A write is in the ring when it returns, so a panic has nothing to push out.
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "ring.h"

/* One write copies no more than this; the rest is for the next one. */
#define VPSTORE_PMSG_MAX	(256 * 1024)

/*
 * The device that the node belongs to, pstore's or ours; a file may outlive it.
 * One writer at a time, and none while the device goes away.
 */
static DEFINE_MUTEX(vpstore_pmsg_lock);
static struct vpstore *vpstore_pmsg;

/*
 * Send text of user space. Sleeps while all slots are under way, but not while
 * the device goes away or is broken, nor without an end: whoever writes through
 * pstore's node holds a lock that can't be interrupted. Returns the bytes sent, or
 * a negative errno if there are none.
 */
static ssize_t vpstore_pmsg_write(struct vpstore *vp, const char __user *buf,
				  size_t len)
{
	struct vpstore_slot *slot;
	unsigned long deadline = jiffies + VPSTORE_ANSWER_TIMEOUT;
	size_t done = 0, n;
	int ret = 0;

	len = min_t(size_t, len, VPSTORE_PMSG_MAX);
	while (done < len) {
		slot = vpstore_stream_get(vp, vp->pmsg_slots,
					  VPSTORE_PMSG_SLOTS);
		if (slot) {
			n = min_t(size_t, len - done, slot->size);
			if (copy_from_user(slot->data, buf + done, n)) {
				vpstore_release(slot);
				ret = -EFAULT;
				break;
			}
			ret = vpstore_stream_send(vp, slot,
						  VIRTIO_PSTORE_TYPE_PMSG, n);
			if (!ret) {
				done += n;
				deadline = jiffies + VPSTORE_ANSWER_TIMEOUT;
				continue;
			}
			if (ret != -EBUSY && ret != -ENOSPC)
				break;
		}

		ret = -EIO;
		if (READ_ONCE(vp->going) || !vpstore_look(vp->write_q) ||
		    READ_ONCE(vp->write_q->dead) || time_after(jiffies, deadline))
			break;
		ret = -ERESTARTSYS;
		if (schedule_timeout_interruptible(1) ||
		    signal_pending(current))
			break;
	}
	return done ?: ret;
}

static ssize_t vpstore_pmsg_file_write(struct file *file,
				       const char __user *buf, size_t len,
				       loff_t *pos)
{
	ssize_t ret = -ENODEV;

	if (mutex_lock_interruptible(&vpstore_pmsg_lock))
		return -ERESTARTSYS;
	if (vpstore_pmsg)
		ret = vpstore_pmsg_write(vpstore_pmsg, buf, len);
	mutex_unlock(&vpstore_pmsg_lock);
	return ret;
}

static const struct file_operations vpstore_pmsg_fops = {
	.owner	= THIS_MODULE,
	.open	= nonseekable_open,
	.write	= vpstore_pmsg_file_write,
};

static struct miscdevice vpstore_pmsg_dev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "pmsg0",
	.fops	= &vpstore_pmsg_fops,
	.mode	= 0220,
};

/**
 * vpstore_pmsg_write_user - send a record of pstore's /dev/pmsg0
 * @record:	its psi may be gone: pstore waits for no writer before it lets
 *		a source go
 * @buf:	in user space
 *
 * Return: 0 or a negative errno.
 */
int vpstore_pmsg_write_user(struct pstore_record *record,
			    const char __user *buf)
{
	size_t done = 0;
	ssize_t ret = 0;

	if (record->type != PSTORE_TYPE_PMSG)
		return -EOPNOTSUPP;
	/* pstore holds no module for as long as this sleeps. */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;

	record->id = 0;
	mutex_lock(&vpstore_pmsg_lock);
	if (!vpstore_pmsg || record->psi != &vpstore_pmsg->psi)
		ret = -ENODEV;
	while (ret >= 0 && done < record->size) {
		ret = vpstore_pmsg_write(vpstore_pmsg, buf + done,
					 record->size - done);
		if (ret > 0)
			done += ret;
	}
	/* pstore would have the whole record written again. */
	if (ret == -ERESTARTSYS && done)
		ret = -EINTR;
	mutex_unlock(&vpstore_pmsg_lock);
	module_put(THIS_MODULE);
	return min_t(ssize_t, ret, 0);
}

static bool vpstore_pmsg_is_pstores(const struct vpstore *vp)
{
	return IS_ENABLED(CONFIG_PSTORE_PMSG) && vp->registered;
}

/**
 * vpstore_pmsg_register - take /dev/pmsg0, or make it where pstore has none
 * @vp:	device, whether pstore took it or not
 *
 * Without it the rest of the driver works.
 */
void vpstore_pmsg_register(struct vpstore *vp)
{
	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_PMSG))
		return;

	mutex_lock(&vpstore_pmsg_lock);
	if (!vpstore_pmsg && (vpstore_pmsg_is_pstores(vp) ||
			      !misc_register(&vpstore_pmsg_dev)))
		vpstore_pmsg = vp;
	else
		dev_info(&vp->vdev->dev, "no /dev/pmsg0: the name is taken\n");
	mutex_unlock(&vpstore_pmsg_lock);
}

/**
 * vpstore_pmsg_unregister - undo vpstore_pmsg_register()
 * @vp:	device
 */
void vpstore_pmsg_unregister(struct vpstore *vp)
{
	mutex_lock(&vpstore_pmsg_lock);
	if (vpstore_pmsg == vp) {
		if (!vpstore_pmsg_is_pstores(vp))
			misc_deregister(&vpstore_pmsg_dev);
		vpstore_pmsg = NULL;
	}
	mutex_unlock(&vpstore_pmsg_lock);
}
