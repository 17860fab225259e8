// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtqueues, and commands that sleep.
 */
#include <linux/scatterlist.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "ring.h"

/* How often a command looks for itself, should no interrupt come. */
#define VPSTORE_COMMAND_SLICE	(HZ / 10 ?: 1)

/* Descriptors of a request: [req][data] [res], [req] [res][info][data] */
#define VPSTORE_READ_DESCS	4

/* Take back what the device has finished with. */
void vpstore_reap(struct vpstore_queue *q)
{
	struct vpstore_slot *slot;
	unsigned int len;

	if (!q->vq)
		return;

	while ((slot = virtqueue_get_buf(q->vq, &len))) {
		slot->used = len;
		vpstore_hand_back(q, slot);
		/* However late an answer is, it shows that somebody is there. */
		WRITE_ONCE(q->dead, false);
	}
}

/**
 * vpstore_submit - hand a claimed slot to the device
 * @q:		queue, its lock held
 * @slot:	slot with its request filled in
 * @len:	bytes of data that follow the request
 * @keep:	descriptors that have to stay free
 * @state:	AWAITED or UNWATCHED
 *
 * The devices of 2016 expect descriptors split exactly like this.
 *
 * Return: 0, or a negative errno, and then the slot is free again.
 */
int vpstore_submit(struct vpstore_queue *q, struct vpstore_slot *slot,
		   size_t len, unsigned int keep,
		   enum vpstore_slot_state state)
{
	bool read = slot->req.cmd == cpu_to_le16(VIRTIO_PSTORE_CMD_READ);
	struct scatterlist req, res, info, data;
	struct scatterlist *sgs[VPSTORE_READ_DESCS];
	unsigned int out = 0, in = 0, more = 0;
	int ret;

	/* What counts if the device completes this without an answer. */
	slot->res.cmd = 0;
	slot->res.type = 0;
	slot->res.ret = cpu_to_le32(-EIO);
	slot->used = 0;

	sg_init_one(&req, &slot->req, sizeof(slot->req));
	sgs[out++] = &req;
	if (len) {
		sg_init_one(&data, slot->data + slot->head, len);
		sgs[out++] = &data;
	}
	if (slot->refs_count) {
		sgs[out++] = slot->refs;
		more = slot->refs_count - 1;
	}

	sg_init_one(&res, &slot->res, sizeof(slot->res));
	sgs[out + in++] = &res;
	if (read) {
		sg_init_one(&info, &slot->info, sizeof(slot->info));
		sgs[out + in++] = &info;
		sg_init_one(&data, slot->data, slot->size);
		sgs[out + in++] = &data;
	}

	if (q->vq->num_free < out + in + more + keep) {
		ret = -ENOSPC;
		goto err;
	}

	/* Allocates nothing: vpstore_validate() saw to that. */
	slot->queue = q;
	atomic_set(&slot->state, state);
	ret = virtqueue_add_sgs(q->vq, sgs, out, in, slot, GFP_ATOMIC);
	if (ret)
		goto err;

	virtqueue_kick(q->vq);
	return 0;

err:
	vpstore_release(slot);
	return ret;
}

static void vpstore_answered(struct virtqueue *vq)
{
	struct vpstore *vp = vq->vdev->priv;
	struct vpstore_queue *q = &vp->queues[vq->index];
	unsigned long flags;

	/* Nothing may be left to reap: a dump's polling was faster. */
	raw_spin_lock_irqsave(&q->lock, flags);
	vpstore_reap(q);
	if (q->vq && q->quiet)
		virtqueue_disable_cb(q->vq);
	raw_spin_unlock_irqrestore(&q->lock, flags);

	wake_up(&vp->answered);
	vpstore_console_answered(vp);
}

/**
 * vpstore_ring_start - set the virtqueues up and let the device go
 * @vp:	device without queues
 *
 * Return: 0 or a negative errno, and then no queue is set up.
 */
int vpstore_ring_start(struct vpstore *vp)
{
	static const char * const names[VPSTORE_QUEUES] = {
		[VIRTIO_PSTORE_VQ_READ]		= "pstore_read",
		[VIRTIO_PSTORE_VQ_WRITE]	= "pstore_write",
		[VIRTIO_PSTORE_VQ_PANIC]	= "pstore_panic",
	};
	struct virtio_device *vdev = vp->vdev;
	struct virtqueue *vqs[VPSTORE_QUEUES];
	bool panic_vq = vp->panic_vq;
	unsigned int count = VIRTIO_PSTORE_VQ_COUNT + panic_vq;
	unsigned int i, least;
	unsigned long flags;
	int ret;

	BUILD_BUG_ON(VPSTORE_QUEUES != VPSTORE_VQS_MAX);

	ret = vpstore_find_vqs(vdev, count, vqs, names, vpstore_answered);
	if (ret && panic_vq) {
		panic_vq = false;
		count = VIRTIO_PSTORE_VQ_COUNT;
		ret = vpstore_find_vqs(vdev, count, vqs, names,
				       vpstore_answered);
	}
	if (ret) {
		/* A device takes every command on every queue it has. */
		count = 1;
		ret = vpstore_find_vqs(vdev, count, vqs, names,
				       vpstore_answered);
	}
	if (ret) {
		dev_err(&vdev->dev, "no virtqueue to be had: %d\n", ret);
		return ret;
	}

	least = count == 1 ? VPSTORE_READ_DESCS + VPSTORE_DUMP_DESCS :
			     VPSTORE_READ_DESCS;
	for (i = 0; i < count; i++) {
		if (virtqueue_get_vring_size(vqs[i]) >= least)
			continue;
		dev_err(&vdev->dev, "virtqueue %u has fewer than %u entries\n",
			i, least);
		vdev->config->del_vqs(vdev);
		return -EINVAL;
	}

	vp->command_q = &vp->queues[0];
	vp->write_q = &vp->queues[count == 1 ? 0 : VIRTIO_PSTORE_VQ_WRITE];
	vp->panic_q = &vp->queues[panic_vq ? VIRTIO_PSTORE_VQ_PANIC : 0];
	virtio_device_ready(vdev);

	for (i = 0; i < count; i++) {
		raw_spin_lock_irqsave(&vp->queues[i].lock, flags);
		vp->queues[i].vq = vqs[i];
		vp->queues[i].dead = false;
		vp->queues[i].error = 0;
		/* Answers to commands are waited for, others polled for. */
		vp->queues[i].quiet = i > 0;
		if (i > 0)
			virtqueue_disable_cb(vqs[i]);
		raw_spin_unlock_irqrestore(&vp->queues[i].lock, flags);
	}
	return 0;
}

/**
 * vpstore_ring_stop - reset the device and take every buffer back from it
 * @vp:	device, started or not
 *
 * Whoever still waits gets -EIO; until vpstore_ring_start() everything else
 * gets -ENODEV.
 */
void vpstore_ring_stop(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	struct vpstore_slot *slot;
	unsigned long flags;
	unsigned int i;

	/* From here on the device touches no buffer. */
	virtio_reset_device(vdev);

	for (i = 0; i < VPSTORE_QUEUES; i++) {
		struct vpstore_queue *q = &vp->queues[i];

		raw_spin_lock_irqsave(&q->lock, flags);
		vpstore_reap(q);
		while (q->vq && (slot = virtqueue_detach_unused_buf(q->vq)))
			vpstore_hand_back(q, slot);
		q->vq = NULL;
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}

	wake_up(&vp->answered);
	/* Lets a command that was under way see its end. */
	mutex_lock(&vp->command_lock);
	mutex_unlock(&vp->command_lock);

	vdev->config->del_vqs(vdev);
}

/**
 * vpstore_command - send a command and sleep until it is answered
 * @vp:		device, its command_lock held
 * @cmd:	VIRTIO_PSTORE_CMD_OPEN, _READ, _ERASE or _CLOSE
 * @type:	record that ERASE means: its type,
 * @id:		its id,
 * @count:	its count
 * @timeout:	jiffies to wait; at most VPSTORE_ANSWER_TIMEOUT in any case
 *
 * READ's answer is in vp->command until command_lock is released.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count,
		    unsigned long timeout)
{
	/* In a queue that dumps use as well, leave them their room. */
	unsigned int keep = vp->command_q == vp->write_q ||
			    vp->command_q == vp->panic_q ?
			    VPSTORE_DUMP_DESCS : 0;
	struct vpstore_slot *slot = vp->command;
	struct vpstore_queue *q = vp->command_q;
	unsigned long flags, deadline;
	bool gone;
	int ret;

	lockdep_assert_held(&vp->command_lock);

	raw_spin_lock_irqsave(&q->lock, flags);
	/* An answer that came too late frees the slot and revives the queue. */
	vpstore_reap(q);
	if (!q->vq) {
		ret = -ENODEV;
	} else if (q->dead || !vpstore_claim(slot)) {
		ret = -EIO;
	} else {
		slot->req = (struct virtio_pstore_req) {
			.cmd	= cpu_to_le16(cmd),
			.type	= cpu_to_le16(type),
			.id	= cpu_to_le64(id),
			.count	= cpu_to_le32(count),
		};
		ret = vpstore_submit(q, slot, 0, keep, VPSTORE_AWAITED);
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);
	if (ret)
		return ret;

	timeout = min_t(unsigned long, timeout, VPSTORE_ANSWER_TIMEOUT);
	deadline = jiffies + timeout;
	do {
		wait_event_timeout(vp->answered, vpstore_done(slot),
				   VPSTORE_COMMAND_SLICE);
		if (vpstore_done(slot))
			break;
		/*
		 * Perhaps a dump's polling took the answer, which wakes
		 * nobody, or the device was pulled out, which answers nothing.
		 */
		raw_spin_lock_irqsave(&q->lock, flags);
		vpstore_reap(q);
		gone = vpstore_gone(q);
		raw_spin_unlock_irqrestore(&q->lock, flags);
	} while (!gone && time_before(jiffies, deadline));

	if (vpstore_abandon(slot)) {
		if (gone)
			return -EIO;
		WRITE_ONCE(q->dead, true);
		dev_err(&vp->vdev->dev,
			"command %u was not answered in %u ms, taking the host for dead\n",
			cmd, jiffies_to_msecs(timeout));
		return -EIO;
	}

	/* Nobody but the holder of command_lock will claim it. */
	ret = vpstore_result(slot);
	vpstore_release(slot);
	return ret;
}
