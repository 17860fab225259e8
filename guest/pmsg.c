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
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "parts.h"

#define VPSTORE_PMSG_REQUESTS	4
#define VPSTORE_PMSG_SIZE	(4 * 1024)
/* One write copies no more than this; the rest is for the next one. */
#define VPSTORE_PMSG_MAX	(256 * 1024)

/*
 * The device that the node belongs to, pstore's or ours; a file may outlive it.
 * One writer at a time, and none while the device goes away.
 */
static DEFINE_MUTEX(vpstore_pmsg_lock);
static struct vpstore *vpstore_pmsg;

/*
 * Send text of user space. Sleeps while all buffers are under way, but not while
 * the device goes away or is broken, nor without an end: whoever writes through
 * pstore's node holds a lock that can't be interrupted. Returns the bytes sent, or
 * a negative errno if there are none.
 */
static ssize_t vpstore_pmsg_write(struct vpstore *vp, const char __user *buf,
				  size_t len)
{
	struct vpstore_request *req;
	unsigned long deadline = jiffies + VPSTORE_ANSWER_TIMEOUT;
	size_t done = 0, n;
	int ret = 0;

	len = min_t(size_t, len, VPSTORE_PMSG_MAX);
	while (done < len) {
		req = vpstore_get(vp, vp->pmsg, vp->write_q, NULL);
		if (req) {
			n = min_t(size_t, len - done, req->size);
			if (copy_from_user(req->data, buf + done, n)) {
				vpstore_release(req);
				ret = -EFAULT;
				break;
			}
			vpstore_fill_write(req, VIRTIO_PSTORE_TYPE_PMSG, 0, 0);
			req->len = n;
			ret = vpstore_send(vp->write_q, req, NULL);
			if (!ret) {
				done += n;
				deadline = jiffies + VPSTORE_ANSWER_TIMEOUT;
				continue;
			}
			if (ret != -EBUSY && ret != -ENOSPC)
				break;
		}

		ret = vpstore_reap(vp->write_q, NULL);
		if (READ_ONCE(vp->removed) || ret == -ENODEV || ret == -EIO ||
		    time_after(jiffies, deadline)) {
			ret = -EIO;
			break;
		}
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

/*
 * pstore's /dev/pmsg0. The source may be gone: pstore waits for no writer
 * before it lets one go.
 */
static int vpstore_pmsg_write_user(struct pstore_record *record,
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
 * vpstore_pmsg_prepare - have pstore's /dev/pmsg0 end here, where it has one
 * @vp:	device that pstore is about to be offered
 */
void vpstore_pmsg_prepare(struct vpstore *vp)
{
	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_PMSG))
		return;
	vp->psi.flags |= PSTORE_FLAGS_PMSG;
	vp->psi.write_user = vpstore_pmsg_write_user;
}

static int vpstore_pmsg_take(struct vpstore *vp)
{
	if (vpstore_pmsg)
		return -EEXIST;
	if (!vp->pmsg)
		return -ENOMEM;
	return vpstore_pmsg_is_pstores(vp) ? 0 :
	       misc_register(&vpstore_pmsg_dev);
}

/**
 * vpstore_pmsg_start - take /dev/pmsg0, or make it where pstore has none
 * @vp:	device, whether pstore took it or not
 *
 * Without it the rest of the driver works.
 */
void vpstore_pmsg_start(struct vpstore *vp)
{
	struct vpstore_pool *pool;
	int ret;

	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_PMSG))
		return;

	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (pool && !vpstore_pool_alloc(pool, VPSTORE_PMSG_REQUESTS,
					VPSTORE_PMSG_SIZE))
		vp->pmsg = pool;
	else
		kfree(pool);

	mutex_lock(&vpstore_pmsg_lock);
	ret = vpstore_pmsg_take(vp);
	if (!ret)
		vpstore_pmsg = vp;
	mutex_unlock(&vpstore_pmsg_lock);
	if (ret)
		dev_info(&vp->vdev->dev, "no /dev/pmsg0: %s\n",
			 ret == -ENOMEM ? "no memory" : "the name is taken");
}

/**
 * vpstore_pmsg_halt - let nobody write any more
 * @vp:	device whose queues are about to be stopped
 */
void vpstore_pmsg_halt(struct vpstore *vp)
{
	mutex_lock(&vpstore_pmsg_lock);
	if (vpstore_pmsg == vp) {
		if (!vpstore_pmsg_is_pstores(vp))
			misc_deregister(&vpstore_pmsg_dev);
		vpstore_pmsg = NULL;
	}
	mutex_unlock(&vpstore_pmsg_lock);
}

/**
 * vpstore_pmsg_stop - undo vpstore_pmsg_start()
 * @vp:	device whose queues are stopped
 */
void vpstore_pmsg_stop(struct vpstore *vp)
{
	if (vp->pmsg)
		vpstore_pool_free(vp->pmsg);
	kfree(vp->pmsg);
	vp->pmsg = NULL;
}
