// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the pstore source.
 *
 * pstore calls open, read, close and erase from processes that mount
 * pstorefs or remove a file there, under psi.read_mutex. It calls write for
 * each part of a dump, from an oops or a panic, under psi.buf_lock with
 * interrupts off, unless the driver makes the dumps itself (dump.c). Nothing
 * else comes from it.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "vpstore.h"

/* Also the "virtio" of /sys/fs/pstore/dmesg-virtio-1 and of pstore.backend= */
#define VPSTORE_SOURCE_NAME	"virtio"

/*
 * Who loads this module or mounts pstorefs waits for a walk, and that may be
 * init. An honest host's thousands of records take seconds, emulated; a device
 * that answers slowly, or never comes to an end, gets no more than this, and
 * a second for each of the last READ and CLOSE.
 */
#define VPSTORE_WALK_TIMEOUT	(30 * HZ)
/* What pstore adds to a record: an inode, a name, a few small structures. */
#define VPSTORE_RECORD_BYTES	2048
/* What pstore makes of a compressed record at most: so many times its bufsize. */
#define VPSTORE_INFLATED	3

/*
 * pstore refuses a source that names no front end of its. None answers to this
 * bit: the driver dumps, and pstore only shows what there is.
 */
#define VPSTORE_FLAGS_NONE	BIT(16)

static int vpstore_type_to_wire(enum pstore_type_id type)
{
	switch (type) {
	case PSTORE_TYPE_DMESG:
		return VIRTIO_PSTORE_TYPE_DMESG;
	case PSTORE_TYPE_CONSOLE:
		return VIRTIO_PSTORE_TYPE_CONSOLE;
	case PSTORE_TYPE_PMSG:
		return VIRTIO_PSTORE_TYPE_PMSG;
	default:
		return -EOPNOTSUPP;
	}
}

static int vpstore_type_from_wire(u16 type)
{
	switch (type) {
	case VIRTIO_PSTORE_TYPE_DMESG:
		return PSTORE_TYPE_DMESG;
	case VIRTIO_PSTORE_TYPE_CONSOLE:
		return PSTORE_TYPE_CONSOLE;
	case VIRTIO_PSTORE_TYPE_PMSG:
		return PSTORE_TYPE_PMSG;
	/* pstore's own records of a trace are binary, and ours text. */
	default:
		return -EOPNOTSUPP;
	}
}

/* Jiffies that a command may take: what is left, but a second even at the end. */
static unsigned long vpstore_walk_left(const struct vpstore_walk *walk)
{
	return max_t(long, walk->end - jiffies, HZ);
}

static int vpstore_open(struct pstore_info *psi)
{
	struct vpstore *vp = psi->data;
	int ret;

	vp->walk = (struct vpstore_walk) {
		.end	= jiffies + VPSTORE_WALK_TIMEOUT,
		/* pstore keeps the records, and nothing can reclaim them. */
		.memory	= max(si_mem_available(), 0L) / 2 * (u64)PAGE_SIZE,
	};

	mutex_lock(&vp->command_lock);
	ret = vpstore_command(vp, VIRTIO_PSTORE_CMD_OPEN, 0, 0, 0,
			      VPSTORE_ANSWER_TIMEOUT);
	mutex_unlock(&vp->command_lock);
	return ret;
}

static int vpstore_close(struct pstore_info *psi)
{
	struct vpstore *vp = psi->data;
	int ret;

	mutex_lock(&vp->command_lock);
	ret = vpstore_command(vp, VIRTIO_PSTORE_CMD_CLOSE, 0, 0, 0,
			      vpstore_walk_left(&vp->walk));
	mutex_unlock(&vp->command_lock);
	return ret;
}

/* End a walk before the device does. */
static int vpstore_cut_short(struct vpstore *vp, const char *why)
{
	dev_warn(&vp->vdev->dev,
		 "the host's records are not all shown: they take %s; so far %u are shown, and %u were of no use\n",
		 why, vp->walk.shown, vp->walk.passed);
	return -ECANCELED;
}

/*
 * Fill @record from READ's answer. Returns the size of its data, 0 for a
 * record that pstore can't show, or a negative errno.
 */
static ssize_t vpstore_take(struct vpstore *vp, struct pstore_record *record)
{
	const struct vpstore_request *req = vp->command;
	const struct virtio_pstore_fileinfo *info = &req->info;
	size_t head = sizeof(req->res) + sizeof(*info);
	int type = vpstore_type_from_wire(le16_to_cpu(info->type));
	size_t len, kept;

	/* Three opinions on the length; the smallest one is safe. */
	len = min_t(size_t, req->used - head, req->size);
	len = min_t(size_t, len, le32_to_cpu(info->len));

	/* To pstore a size of 0 would be the end of the walk. */
	if (type < 0 || !len)
		return 0;

	record->compressed = le32_to_cpu(info->flags) &
			     VIRTIO_PSTORE_FL_COMPRESSED;
	kept = VPSTORE_RECORD_BYTES +
	       (record->compressed ? VPSTORE_INFLATED * vp->bufsize : len);
	if (kept > vp->walk.memory)
		return vpstore_cut_short(vp, "half of the free memory");

	/* pstore keeps it for as long as the file exists, then kfree()s it. */
	record->buf = kmemdup(req->data, len, GFP_KERNEL);
	if (!record->buf)
		return -ENOMEM;

	vp->walk.memory -= kept;
	vp->walk.shown++;
	record->type = type;
	record->id = le64_to_cpu(info->id);
	record->count = le32_to_cpu(info->count);
	record->time.tv_sec = le64_to_cpu(info->time_sec);
	record->time.tv_nsec = min_t(u32, le32_to_cpu(info->time_nsec),
				     NSEC_PER_SEC - 1);
	record->ecc_notice_size = 0;
	return len;
}

static ssize_t vpstore_read(struct pstore_record *record)
{
	struct vpstore *vp = record->psi->data;
	struct vpstore_request *req = vp->command;
	ssize_t ret;

	mutex_lock(&vp->command_lock);
	for (;;) {
		if (time_after(jiffies, vp->walk.end)) {
			ret = vpstore_cut_short(vp, "longer than 30 s");
			break;
		}
		ret = vpstore_command(vp, VIRTIO_PSTORE_CMD_READ, 0, 0, 0,
				      vpstore_walk_left(&vp->walk));
		/* The end of the walk: a response with no record behind it. */
		if (ret || req->used < sizeof(req->res) + sizeof(req->info))
			break;
		ret = vpstore_take(vp, record);
		if (ret)
			break;
		vp->walk.passed++;
	}
	mutex_unlock(&vp->command_lock);
	return ret;
}

static int vpstore_erase(struct pstore_record *record)
{
	struct vpstore *vp = record->psi->data;
	int type = vpstore_type_to_wire(record->type);
	int ret;

	if (type < 0)
		return type;

	mutex_lock(&vp->command_lock);
	ret = vpstore_command(vp, VIRTIO_PSTORE_CMD_ERASE, type, record->id,
			      record->count, VPSTORE_ANSWER_TIMEOUT);
	mutex_unlock(&vp->command_lock);
	return ret;
}

static int vpstore_write(struct pstore_record *record)
{
	struct vpstore *vp = record->psi->data;
	u32 flags = record->compressed ? VIRTIO_PSTORE_FL_COMPRESSED : 0;
	struct vpstore_dump *d = &vp->oops;
	struct vpstore_request *req;
	int ret;

	if (record->type != PSTORE_TYPE_DMESG)
		return -EOPNOTSUPP;

	/* The device picks the id, and doesn't tell which. */
	record->id = 0;

	if (READ_ONCE(vp->in_panic)) {
		/* The console may have used some of its budget. */
		d = &vp->panic;
	} else if (record->part <= 1 || record->count != d->count) {
		/* It begins a dump; what follows shares its budget and queue. */
		d->count = record->count;
		vpstore_budget_init(&d->budget,
				    vpstore_timeout_ms(record->reason));
		d->queue = vpstore_choose_queue(vp, false, &d->budget);
	}
	if (!d->queue)
		return -EIO;
	req = vpstore_get(vp, &vp->dumps, d->queue, &d->budget);
	if (!req)
		return -EIO;
	if (record->size > req->size) {
		vpstore_release(req);
		return -EFBIG;
	}

	vpstore_fill_write(req, VIRTIO_PSTORE_TYPE_DMESG, record->count, flags);
	req->len = record->size;
	memcpy(req->data, record->buf, record->size);
	ret = vpstore_send(d->queue, req, &d->budget);
	return ret ?: vpstore_wait(vp, d->queue, &d->budget);
}

/**
 * vpstore_pstore_register - offer the device to pstore
 * @vp:	device whose queues are running
 *
 * pstore reads the records that are there at once if pstorefs is mounted.
 *
 * Return: 0 or a negative errno.
 */
int vpstore_pstore_register(struct vpstore *vp)
{
	struct pstore_info *psi = &vp->psi;
	int ret;

	psi->buf = kmalloc(vp->bufsize, GFP_KERNEL);
	if (!psi->buf)
		return -ENOMEM;

	/* max_reason stays 0: oopses and panics, and what the user asks for. */
	psi->owner = THIS_MODULE;
	psi->name = VPSTORE_SOURCE_NAME;
	psi->bufsize = vp->bufsize;
	psi->data = vp;
	if (!vp->raw)
		psi->flags |= PSTORE_FLAGS_DMESG;
	if (!psi->flags)
		psi->flags = VPSTORE_FLAGS_NONE;
	psi->open = vpstore_open;
	psi->close = vpstore_close;
	psi->read = vpstore_read;
	psi->write = vpstore_write;
	psi->erase = vpstore_erase;

	ret = pstore_register(psi);
	if (!ret) {
		vp->registered = true;
		return 0;
	}

	kfree(psi->buf);
	psi->buf = NULL;

	/* What doesn't need pstore goes on without it. */
	if ((ret == -EBUSY || ret == -EPERM) &&
	    (vp->raw || (IS_ENABLED(CONFIG_VIRTIO_PSTORE_CONSOLE) &&
			 vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE)))) {
		dev_info(&vp->vdev->dev,
			 "pstore has another source, so /sys/fs/pstore doesn't show this device's records\n");
		return 0;
	}
	if (ret == -EBUSY || ret == -EPERM) {
		dev_warn(&vp->vdev->dev,
			 "not used: pstore takes one source only and has the one named in /sys/module/pstore/parameters/backend; boot with pstore.backend=%s to use this one\n",
			 psi->name);
		/* The driver core says nothing about this errno: one line is enough. */
		ret = -ENODEV;
	}
	return ret;
}

/**
 * vpstore_pstore_unregister - take the device away from pstore
 * @vp:	device that was registered
 *
 * When this returns, pstore calls none of the above again. It doesn't wait for
 * who writes to /dev/pmsg0: vpstore_pmsg_stop() did.
 */
void vpstore_pstore_unregister(struct vpstore *vp)
{
	if (vp->registered)
		pstore_unregister(&vp->psi);
	vp->registered = false;
	kfree(vp->psi.buf);
	vp->psi.buf = NULL;
}
