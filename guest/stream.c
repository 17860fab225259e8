// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: writes that nobody waits for.
 *
 * Console and pmsg text. Nothing waits, not even for the lock: printk may have
 * been called with it held, from inside virtio.
 */
#include "ring.h"

/* Text that nobody waits for would rather wait in its own place than here. */
#define VPSTORE_STREAM_TRIES	16

static bool vpstore_stream_lock(struct vpstore_queue *q, unsigned long *flags)
{
	unsigned int tries = VPSTORE_STREAM_TRIES;

	while (!raw_spin_trylock_irqsave(&q->lock, *flags)) {
		if (!--tries)
			return false;
		cpu_relax();
	}
	return true;
}

/**
 * vpstore_stream_get - claim a slot to fill, without waiting
 * @vp:		device
 * @slots:	to choose from
 * @count:	how many
 *
 * Return: a slot, or NULL if all are under way.
 */
struct vpstore_slot *vpstore_stream_get(struct vpstore *vp,
					struct vpstore_slot **slots,
					unsigned int count)
{
	struct vpstore_queue *q = vp->write_q;
	struct vpstore_slot *slot;
	unsigned long flags;

	slot = vpstore_claim_any(slots, count);
	if (slot)
		return slot;

	if (!vpstore_stream_lock(q, &flags))
		return NULL;
	vpstore_reap(q);
	slot = vpstore_claim_any(slots, count);
	/* What was answered in between is reaped by the next who comes. */
	if (!slot && q->vq && q->quiet)
		virtqueue_enable_cb(q->vq);
	raw_spin_unlock_irqrestore(&q->lock, flags);
	return slot;
}

/**
 * vpstore_stream_send - hand a filled slot to the device, without waiting
 * @vp:		device
 * @slot:	from vpstore_stream_get(); not the caller's any more
 * @type:	VIRTIO_PSTORE_TYPE_*
 * @len:	bytes in it; with 0 the slot is only given back
 *
 * For any context. Errors of the device are not seen.
 *
 * Return: 0, or this driver's negative errno.
 */
int vpstore_stream_send(struct vpstore *vp, struct vpstore_slot *slot,
			u16 type, size_t len)
{
	const struct vpstore_text text = { .type = type, .len = len };
	struct vpstore_queue *q = vp->write_q;
	unsigned int keep = VPSTORE_DUMP_DESCS;
	unsigned long flags;
	int ret;

	if (!len) {
		vpstore_release(slot);
		return 0;
	}
	if (!vpstore_stream_lock(q, &flags)) {
		vpstore_release(slot);
		return -EBUSY;
	}

	if (!q->vq) {
		ret = -ENODEV;
	} else {
		if (q->dead || q->vq->num_free < VPSTORE_WRITE_DESCS + keep)
			vpstore_reap(q);
		ret = q->dead ? -EIO : 0;
	}
	if (ret) {
		vpstore_release(slot);
	} else {
		vpstore_fill_write(slot, &text);
		ret = vpstore_submit(q, slot, len, keep, VPSTORE_UNWATCHED);
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);
	return ret;
}
