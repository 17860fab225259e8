// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the console's text after a panic.
 *
 * printk's own context takes messages, as many as there are, fills the dumps'
 * requests with them, sends those in the panic's queue, and waits for the
 * device where all are under way. Nothing else runs but what a panic inside all
 * this begins.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/sched/clock.h>
#include <linux/time64.h>

#include "console.h"

static struct vpstore_request *
vpstore_panic_console_get(struct vpstore_console *c)
{
	struct vpstore_dump *d = &c->vp->panic;

	return vpstore_get(c->vp, &c->vp->dumps, d->queue, &d->budget);
}

static int vpstore_panic_console_hand(struct vpstore_console *c,
				      struct vpstore_request *req, size_t len)
{
	struct vpstore_dump *d = &c->vp->panic;

	vpstore_fill_write(req, VIRTIO_PSTORE_TYPE_CONSOLE, 0, 0);
	req->len = len;
	return vpstore_send(d->queue, req, &d->budget);
}

static int vpstore_panic_console_hand_filled(struct vpstore_console *c)
{
	struct vpstore_request *req = c->filling;
	int ret;

	c->filling = NULL;
	ret = vpstore_panic_console_hand(c, req, c->filled);
	if (ret)
		c->log.lost = c->log.iter.cur_seq - c->next;
	else
		WRITE_ONCE(c->next, c->log.iter.cur_seq);
	return ret;
}

/**
 * vpstore_panic_console_send - move what the log holds to the panic's queue
 * @c:	console, after a panic
 *
 * Sends full buffers only.
 */
void vpstore_panic_console_send(struct vpstore_console *c)
{
	size_t size;

	if (!c->on || !c->vp->panic.queue || atomic_xchg(&c->panic_busy, 1))
		return;

	atomic_set(&c->printed, 0);
	do {
		if (!c->filling) {
			c->filling = vpstore_panic_console_get(c);
			c->filled = 0;
		}
		if (!c->filling)
			break;
		size = min(c->filling->size, c->vp->max_data);
		c->filled += vpstore_log_fill(&c->log,
					      c->filling->data + c->filled,
					      size - c->filled);
	} while (size - c->filled < VPSTORE_LINE_ROOM &&
		 !vpstore_panic_console_hand_filled(c));
	atomic_set_release(&c->panic_busy, 0);
}

/**
 * vpstore_panic_console_begin - a panic has come
 * @c:	console
 *
 * Nobody else will take lines any more, not even who was about to.
 */
void vpstore_panic_console_begin(struct vpstore_console *c)
{
	/* What was printed since the panic came may have filled some already. */
	c->filled = 0;
	c->log.iter.cur_seq = READ_ONCE(c->next);
	c->log.cpus_stopped = true;
	vpstore_panic_console_send(c);
}

/**
 * vpstore_panic_console_again - forget what a panic in here has interrupted
 * @c:	console, after a panic
 *
 * What wasn't sent is taken again: c->next stands before it.
 */
void vpstore_panic_console_again(struct vpstore_console *c)
{
	c->log.lost = 0;
	atomic_set(&c->panic_busy, 0);
}

/**
 * vpstore_panic_console_pause - send what there is, even a buffer that isn't full
 * @c:	console, after a panic
 *
 * Return: true if the caller holds panic_busy then.
 */
bool vpstore_panic_console_pause(struct vpstore_console *c)
{
	if (!c->on || !c->vp->panic.queue)
		return false;

	vpstore_panic_console_send(c);
	if (atomic_xchg(&c->panic_busy, 1))
		return false;
	if (c->filling && c->filled)
		vpstore_panic_console_hand_filled(c);
	return true;
}

/**
 * vpstore_panic_console_flush - send the rest, and wait until it is stored
 * @c:	console, after a panic
 */
void vpstore_panic_console_flush(struct vpstore_console *c)
{
	struct vpstore_dump *d = &c->vp->panic;

	if (!vpstore_panic_console_pause(c))
		return;
	if (c->filling)
		vpstore_release(c->filling);
	c->filling = NULL;
	vpstore_wait(c->vp, d->queue, &d->budget);
	WRITE_ONCE(c->flushed, true);
	atomic_set_release(&c->panic_busy, 0);
}

/**
 * vpstore_panic_console_message - send a message that isn't in the log yet
 * @c:		console, after a panic, and flushed
 * @text:	what printk was told to print, without a newline
 * @len:	its length
 *
 * After kmsg_dump() there are only a line or two, and nobody comes to take
 * them from the log.
 */
void vpstore_panic_console_message(struct vpstore_console *c, const char *text,
				   size_t len)
{
	struct vpstore_dump *d = &c->vp->panic;
	struct vpstore_request *req;
	u64 now = local_clock();
	size_t size;
	u32 rest;

	if (!d->queue || atomic_xchg(&c->panic_busy, 1))
		return;
	req = vpstore_panic_console_get(c);
	if (req) {
		size = min(req->size, c->vp->max_data);
		/* As printk would format it. */
		now = div_u64_rem(now, NSEC_PER_SEC, &rest);
		size = scnprintf(req->data, size, "[%5llu.%06u] %.*s\n", now,
				 rest / (u32)NSEC_PER_USEC, (int)len, text);
		vpstore_panic_console_hand(c, req, size);
		vpstore_wait(c->vp, d->queue, &d->budget);
	}
	atomic_set_release(&c->panic_busy, 0);
}
