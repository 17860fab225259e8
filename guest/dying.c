// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the console's text after a panic.
 *
 * printk's own context takes messages, as many as there are, fills the chunks
 * of the panic's queue with them, and waits for the device where all are under
 * way. Nothing else runs but what a panic inside all this begins.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/sched/clock.h>
#include <linux/time64.h>

#include "vpstore.h"

static int vpstore_console_send_dying(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_console *c = &vp->console;
	struct vpstore_text text = {
		.type	= VIRTIO_PSTORE_TYPE_CONSOLE,
		.len	= c->chunk_len,
	};
	struct vpstore_slot *slot = c->chunk;
	int ret;

	slot->head = 0;
	c->chunk = NULL;
	ret = vpstore_chunk_send(vp, d->queue, slot, &text, &d->budget);
	if (ret)
		c->log.lost = c->log.iter.cur_seq - c->next;
	else
		WRITE_ONCE(c->next, c->log.iter.cur_seq);
	return ret;
}

/**
 * vpstore_console_drain_dying - move what the log holds to the panic's queue
 * @vp:	device that is dying
 *
 * Sends full slots only.
 */
void vpstore_console_drain_dying(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_console *c = &vp->console;
	struct vpstore_slot *slot;

	if (!c->on || !d->queue || atomic_xchg(&c->dying_busy, 1))
		return;

	atomic_set(&c->fresh, 0);
	for (;;) {
		if (!c->chunk) {
			c->chunk = vpstore_chunk_get(vp, d->queue, &d->budget);
			c->chunk_len = 0;
		}
		slot = c->chunk;
		if (!slot)
			break;
		c->chunk_len += vpstore_log_fill(&c->log,
						 slot->data + c->chunk_len,
						 slot->size - c->chunk_len);
		if (slot->size - c->chunk_len >= VPSTORE_LINE_ROOM)
			break;
		if (vpstore_console_send_dying(vp))
			break;
	}
	atomic_set_release(&c->dying_busy, 0);
}

/**
 * vpstore_console_dying - a panic has come
 * @vp:	device whose panic has a queue
 *
 * Nobody else will take lines any more, not even who was about to.
 */
void vpstore_console_dying(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	/* What was printed since the guest is dying may have filled some already. */
	c->chunk_len = 0;
	c->log.iter.cur_seq = READ_ONCE(c->next);
	c->log.dying = true;
	vpstore_console_drain_dying(vp);
}

/**
 * vpstore_console_abandon - forget what a panic inside this driver interrupted
 * @vp:	device that is dying
 *
 * What wasn't sent is taken again: c->next stands before it.
 */
void vpstore_console_abandon(struct vpstore *vp)
{
	vp->console.log.lost = 0;
	atomic_set(&vp->console.dying_busy, 0);
}

/**
 * vpstore_console_empty_dying - send what there is, even a slot that isn't full
 * @vp:	device that is dying
 *
 * Return: true if the caller holds dying_busy then.
 */
bool vpstore_console_empty_dying(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->on || !vp->panic.queue)
		return false;

	vpstore_console_drain_dying(vp);
	if (atomic_xchg(&c->dying_busy, 1))
		return false;
	if (c->chunk && c->chunk_len)
		vpstore_console_send_dying(vp);
	return true;
}

/**
 * vpstore_console_flush_dying - send the rest, and wait until it is stored
 * @vp:	device that is dying
 */
void vpstore_console_flush_dying(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_console *c = &vp->console;

	if (!vpstore_console_empty_dying(vp))
		return;
	if (c->chunk)
		vpstore_release(c->chunk);
	c->chunk = NULL;
	vpstore_chunks_wait(vp, d->queue, &d->budget);
	WRITE_ONCE(c->flushed, true);
	atomic_set_release(&c->dying_busy, 0);
}

/**
 * vpstore_console_epilogue - send a message that isn't in the log yet
 * @vp:		device that is dying, and was flushed
 * @text:	what printk was told to print, without a newline
 * @len:	its length
 *
 * After kmsg_dump() there are only a line or two, and nobody comes to take
 * them from the log.
 */
void vpstore_console_epilogue(struct vpstore *vp, const char *text,
			      size_t len)
{
	struct vpstore_text what = { .type = VIRTIO_PSTORE_TYPE_CONSOLE };
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_console *c = &vp->console;
	struct vpstore_slot *slot;
	u64 now = local_clock();
	u32 rest;

	if (!d->queue || atomic_xchg(&c->dying_busy, 1))
		return;
	slot = vpstore_chunk_get(vp, d->queue, &d->budget);
	if (slot) {
		/* As printk would format it. */
		now = div_u64_rem(now, NSEC_PER_SEC, &rest);
		what.len = scnprintf(slot->data, slot->size,
				     "[%5llu.%06u] %.*s\n", now,
				     rest / (u32)NSEC_PER_USEC, (int)len, text);
		slot->head = 0;
		vpstore_chunk_send(vp, d->queue, slot, &what, &d->budget);
		vpstore_chunks_wait(vp, d->queue, &d->budget);
	}
	atomic_set_release(&c->dying_busy, 0);
}
