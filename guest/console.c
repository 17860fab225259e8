// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: every message printk takes.
 *
 * What listen.c hears only says that there is something to take: the text comes
 * from the log.
 *
 *   few messages	a worker takes them, some milliseconds later
 *   many		printk's own context takes them, before the log is
 *			full; it waits for nothing
 *   after a panic	the same, but now the device is waited for
 *
 * A message that finds neither a free slot nor a place in the log any more is
 * counted, see log.c.
 */
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/virtio_config.h>

#include "vpstore.h"

/* A worker looks after this time, or, where a host is slow, after that. */
#define VPSTORE_CONSOLE_DELAY	(HZ / 100 ?: 1)
#define VPSTORE_CONSOLE_RETRY	(HZ / 10 ?: 1)

/*
 * When printk's own context takes messages: when a quarter of the log is new,
 * counted in bytes and in messages (one for each 32 bytes), or a slot's worth.
 * A log is never smaller than it was configured.
 */
#define VPSTORE_CONSOLE_BYTES	min(24 * 1024, 1 << (CONFIG_LOG_BUF_SHIFT - 2))
#define VPSTORE_CONSOLE_LINES	(1 << (CONFIG_LOG_BUF_SHIFT - 7))
/* Where their length isn't told, as if they had 128 bytes. */
#define VPSTORE_CONSOLE_UNTOLD	(VPSTORE_CONSOLE_LINES / 4)
/* A dying guest fills a slot in small steps, which cost little. */
#define VPSTORE_DYING_BYTES	(2 * 1024)
#define VPSTORE_DYING_LINES	32

/*
 * Send what the log holds, but no more than all slots: where the host is
 * quick, whoever printed would otherwise go on for all who print meanwhile.
 * True if that left something.
 */
static bool vpstore_console_send(struct vpstore *vp)
{
	unsigned int sends = VPSTORE_CONSOLE_SLOTS;
	struct vpstore_console *c = &vp->console;
	struct vpstore_log before;
	struct vpstore_slot *slot;
	unsigned long flags;
	bool more = false;
	size_t len;
	int ret;

	if (!c->on)
		return false;
	/* The worker can wait for swiotlb's lock, see vpstore_validate(). */
	if (in_nmi() && virtio_has_feature(vp->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return false;
	if (atomic_xchg(&c->busy, 1))
		return false;

	atomic_set(&c->fresh, 0);
	atomic_set(&c->lines, 0);
	do {
		slot = vpstore_stream_get(vp, vp->console_slots,
					  VPSTORE_CONSOLE_SLOTS);
		if (!slot) {
			WRITE_ONCE(c->starved, true);
			more = false;
			break;
		}
		before = c->log;
		len = vpstore_log_fill(&c->log, slot->data, slot->size);
		more = slot->size - len < VPSTORE_LINE_ROOM;
		/* A panic that interrupts this goes on from c->next. */
		local_irq_save(flags);
		ret = vpstore_stream_send(vp, slot, VIRTIO_PSTORE_TYPE_CONSOLE,
					  len);
		if (!ret)
			WRITE_ONCE(c->next, c->log.iter.cur_seq);
		local_irq_restore(flags);
		if (ret) {
			c->log = before;
			WRITE_ONCE(c->starved, true);
			more = false;
			break;
		}
	} while (more && --sends);

	atomic_set_release(&c->busy, 0);
	return more;
}

/* From any context, have the worker look. */
static void vpstore_console_call(struct vpstore_console *c)
{
	if (!atomic_read(&c->noted) && !atomic_xchg(&c->noted, 1))
		irq_work_queue(&c->poke);
}

/**
 * vpstore_console_drain - send what the log holds, without waiting
 * @vp:	device
 *
 * For any context. Whoever comes while another is at it goes away again.
 */
void vpstore_console_drain(struct vpstore *vp)
{
	if (vpstore_console_send(vp))
		vpstore_console_call(&vp->console);
}

static void vpstore_console_work(struct work_struct *work)
{
	struct vpstore_console *c = container_of(to_delayed_work(work),
						 struct vpstore_console, work);
	struct vpstore *vp = container_of(c, struct vpstore, console);

	WRITE_ONCE(c->starved, false);
	atomic_set(&c->noted, 0);
	/* Normally the device's answer ends a dearth sooner. */
	if (vpstore_console_send(vp))
		mod_delayed_work(c->wq, &c->work, 0);
	else if (READ_ONCE(c->starved))
		mod_delayed_work(c->wq, &c->work, VPSTORE_CONSOLE_RETRY);
}

/* printk may have been called with any lock held; here none is. */
static void vpstore_console_poke(struct irq_work *poke)
{
	struct vpstore_console *c = container_of(poke, struct vpstore_console,
						 poke);

	mod_delayed_work(c->wq, &c->work, VPSTORE_CONSOLE_DELAY);
}

/**
 * vpstore_console_answered - the device has used a buffer
 * @vp:	device
 */
void vpstore_console_answered(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!READ_ONCE(c->on) || !READ_ONCE(c->starved))
		return;
	WRITE_ONCE(c->starved, false);
	mod_delayed_work(c->wq, &c->work, 0);
}

/**
 * vpstore_console_note - there is a message
 * @vp:		device
 * @len:	its length
 *
 * Called by printk, in any context. It may not be in the log yet.
 */
void vpstore_console_note(struct vpstore *vp, size_t len)
{
	struct vpstore_console *c = &vp->console;
	unsigned int fresh, lines;

	if (!READ_ONCE(c->on))
		return;

	fresh = atomic_add_return(len, &c->fresh);
	lines = atomic_inc_return(&c->lines);

	if (READ_ONCE(vp->dying)) {
		if (fresh >= VPSTORE_DYING_BYTES ||
		    lines >= VPSTORE_DYING_LINES)
			vpstore_console_drain_dying(vp);
		return;
	}

	if ((fresh >= VPSTORE_CONSOLE_BYTES ||
	     lines >= VPSTORE_CONSOLE_LINES) && !READ_ONCE(c->starved))
		vpstore_console_drain(vp);
	vpstore_console_call(c);
}

/**
 * vpstore_console_look - there are messages, nobody knows how many
 * @vp:	device
 *
 * For any context.
 */
void vpstore_console_look(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;
	struct kmsg_dump_iter end;

	if (!READ_ONCE(c->on))
		return;

	kmsg_dump_rewind(&end);
	if (end.next_seq - READ_ONCE(c->next) >= VPSTORE_CONSOLE_UNTOLD)
		vpstore_console_drain(vp);
	vpstore_console_call(c);
}

/**
 * vpstore_console_pause - send what the log holds, and then take no more of it
 * @vp:		device
 * @dying:	the guest panics
 *
 * Doesn't wait, but at a panic for the device.
 *
 * Return: true if it pauses, until vpstore_console_skip(). False if somebody
 * is at it, perhaps whom the caller has interrupted.
 */
bool vpstore_console_pause(struct vpstore *vp, bool dying)
{
	if (dying)
		return vpstore_console_empty_dying(vp);
	vpstore_console_drain(vp);
	return vp->console.on && !atomic_xchg(&vp->console.busy, 1);
}

/**
 * vpstore_console_skip - go on from the log's end
 * @vp:		device whose console pauses
 * @dying:	as before
 * @count:	messages that came since and were sent in another way
 */
void vpstore_console_skip(struct vpstore *vp, bool dying, u64 count)
{
	struct vpstore_console *c = &vp->console;

	vpstore_log_skip(&c->log, count);
	WRITE_ONCE(c->next, c->log.iter.cur_seq);
	atomic_set_release(dying ? &c->dying_busy : &c->busy, 0);
}

/*
 * Start and stop
 */

/* The core's shutdown of the device comes after this. */
static int vpstore_console_on_reboot(struct notifier_block *nb,
				     unsigned long event, void *command)
{
	vpstore_console_settle(container_of(nb, struct vpstore,
					    console.reboot_nb));
	return NOTIFY_DONE;
}

/**
 * vpstore_console_start - begin to send the console's text
 * @vp:	device whose queues are running
 *
 * From what the log holds by now. Without it the rest of the driver works.
 */
void vpstore_console_start(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE))
		return;

	init_irq_work(&c->poke, vpstore_console_poke);
	INIT_DELAYED_WORK(&c->work, vpstore_console_work);
	c->log.begun = true;
	c->log.live = true;
	c->log.end = U64_MAX;

	c->wq = alloc_workqueue("virtio_pstore", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!c->wq)
		return;

	c->reboot_nb.notifier_call = vpstore_console_on_reboot;
	register_reboot_notifier(&c->reboot_nb);
	vpstore_console_resume(vp);
}

/**
 * vpstore_console_settle - send what the log holds, and let it arrive
 * @vp:	device whose queues are about to be stopped
 *
 * There is time: a quarter of what an oops may take.
 */
void vpstore_console_settle(struct vpstore *vp)
{
	struct vpstore_budget budget;

	vpstore_budget_init(&budget, vpstore_timeout_ms(KMSG_DUMP_OOPS));
	vpstore_console_drain(vp);
	vpstore_settle(vp, &budget);
}

/**
 * vpstore_console_halt - leave everything in the log from now on
 * @vp:	device whose queues are stopped: an answer calls the worker
 *
 * An interrupt for what is printed now could keep the guest from suspending.
 */
void vpstore_console_halt(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
		return;

	WRITE_ONCE(c->on, false);
	irq_work_sync(&c->poke);
	cancel_delayed_work_sync(&c->work);
}

/**
 * vpstore_console_resume - send what there is in the log, and go on
 * @vp:	device whose queues are running
 */
void vpstore_console_resume(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
		return;

	WRITE_ONCE(c->on, true);
	mod_delayed_work(c->wq, &c->work, 0);
}

/**
 * vpstore_console_stop - undo vpstore_console_start()
 * @vp:	device whose queues are stopped, and that listens to printk no more
 */
void vpstore_console_stop(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
		return;

	unregister_reboot_notifier(&c->reboot_nb);
	vpstore_console_halt(vp);
	destroy_workqueue(c->wq);
	c->wq = NULL;
}
