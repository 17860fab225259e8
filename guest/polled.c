// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: writes whose answers are polled for.
 *
 * They run with interrupts off, perhaps in an NMI, while other CPUs may be
 * stopped in the middle of anything. So they allocate nothing, wake nobody
 * (the scheduler's locks may be held), wait for no lock without a bound, and
 * poll the used ring.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/nmi.h>

#include "ring.h"

#define VPSTORE_POLL_US		2
/*
 * Critical sections take microseconds. Who holds the lock for longer was
 * stopped, or interrupted by this very dump, and won't let go.
 */
#define VPSTORE_LOCK_NS		(10 * NSEC_PER_MSEC)

/**
 * vpstore_budget_init - a new dump begins
 * @budget:	budget to fill
 * @ms:		milliseconds it may wait for the device
 */
void vpstore_budget_init(struct vpstore_budget *budget, unsigned int ms)
{
	budget->limit = (u64)ms * NSEC_PER_MSEC;
	budget->spent = 0;
}

static void vpstore_budget_start(struct vpstore_budget *budget)
{
	budget->start = ktime_get_mono_fast_ns();
	budget->counted = 0;
}

static u64 vpstore_budget_lap(const struct vpstore_budget *budget)
{
	s64 clock = ktime_get_mono_fast_ns() - budget->start;

	return max_t(s64, clock, budget->counted);
}

static bool vpstore_budget_over(const struct vpstore_budget *budget)
{
	return budget->spent + vpstore_budget_lap(budget) >= budget->limit;
}

static void vpstore_budget_delay(struct vpstore_budget *budget)
{
	udelay(VPSTORE_POLL_US);
	budget->counted += VPSTORE_POLL_US * NSEC_PER_USEC;
	/* The budget may be longer than the watchdog's patience. */
	touch_nmi_watchdog();
}

static void vpstore_budget_stop(struct vpstore_budget *budget)
{
	budget->spent += vpstore_budget_lap(budget);
}

static bool vpstore_trylock_until(struct vpstore_queue *q,
				  unsigned long *flags,
				  struct vpstore_budget *budget)
{
	u64 begin = vpstore_budget_lap(budget);

	while (!raw_spin_trylock_irqsave(&q->lock, *flags)) {
		if (vpstore_budget_over(budget) ||
		    vpstore_budget_lap(budget) - begin >= VPSTORE_LOCK_NS)
			return false;
		vpstore_budget_delay(budget);
	}
	return true;
}

static void vpstore_give_up(struct vpstore *vp, struct vpstore_queue *q,
			    const struct vpstore_budget *budget)
{
	WRITE_ONCE(q->dead, true);
	dev_err(&vp->vdev->dev,
		"no answer in %llu ms of a dump, taking the host for dead\n",
		div_u64(budget->limit, NSEC_PER_MSEC));
}

/* One look at the used ring; false if no answer will ever come. */
bool vpstore_look(struct vpstore_queue *q)
{
	unsigned long flags;
	bool gone = false;

	/* Whoever else holds the lock reaps for us, or never will. */
	if (raw_spin_trylock_irqsave(&q->lock, flags)) {
		vpstore_reap(q);
		gone = vpstore_gone(q);
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}
	return !gone;
}

/* Poll until the slot's answer is there, within the budget. */
static int vpstore_poll(struct vpstore *vp, struct vpstore_queue *q,
			struct vpstore_slot *slot,
			struct vpstore_budget *budget)
{
	bool over, there;
	int ret;

	for (;;) {
		/* Asked first: a VM that was paused still gets one last look. */
		over = vpstore_budget_over(budget);
		there = vpstore_look(q);
		if (vpstore_done(slot) || over || !there)
			break;
		vpstore_budget_delay(budget);
	}

	if (vpstore_abandon(slot)) {
		if (there)
			vpstore_give_up(vp, q, budget);
		return -EIO;
	}

	ret = vpstore_result(slot);
	vpstore_release(slot);
	return ret;
}

/**
 * vpstore_write_wait - write text and poll until the device has stored it
 * @vp:		device
 * @text:	no longer than vp->bufsize
 * @budget:	of the dump this belongs to; the caller serializes its use
 *
 * For oops and panic, in any context. Waits within the budget once. After
 * that the queue is dead, and every later write to it fails at once, so that
 * a dead host costs a dump one budget in all. A later panic's parts go to the
 * same queue and wait no more: the oops's record is still in the ring, so a
 * host that is merely slow stores it all the same, and its late answer, seen
 * here or in the callback, ends the queue's death.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_write_wait(struct vpstore *vp, const struct vpstore_text *text,
		       struct vpstore_budget *budget)
{
	struct vpstore_queue *q = vp->write_q;
	struct vpstore_slot *slot = NULL;
	unsigned long flags;
	int ret;

	if (text->len > vp->bufsize)
		return -EFBIG;

	vpstore_budget_start(budget);
	if (!vpstore_trylock_until(q, &flags, budget)) {
		/*
		 * Its ring may be half changed: leave it alone. The other
		 * queue takes any command, too.
		 */
		q = vp->command_q;
		if (q == vp->write_q ||
		    !vpstore_trylock_until(q, &flags, budget)) {
			ret = -EBUSY;
			goto out;
		}
	}

	vpstore_reap(q);
	if (!q->vq) {
		ret = -ENODEV;
	} else if (q->dead) {
		ret = -EIO;
	} else {
		slot = vpstore_claim_any(vp->dump, VPSTORE_DUMP_SLOTS);
		if (slot) {
			vpstore_fill_write(slot, text);
			ret = vpstore_submit(q, slot, text->len, 0,
					     VPSTORE_AWAITED);
		} else {
			ret = -EBUSY;
		}
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);

	if (!ret)
		ret = vpstore_poll(vp, q, slot, budget);
out:
	vpstore_budget_stop(budget);
	return ret;
}

/*
 * Chunks: text that is formatted straight into the slots. A full one is sent
 * at once, and nobody watches for its answer before the end, so that the
 * device works while the next one is being filled.
 */

static bool vpstore_chunk_idle(struct vpstore *vp, struct vpstore_queue *q)
{
	unsigned int i;

	for (i = 0; i < vp->chunk_count; i++)
		if (vp->chunks[i]->queue == q &&
		    atomic_read_acquire(&vp->chunks[i]->state) ==
		    VPSTORE_UNWATCHED)
			return false;
	return true;
}

static bool vpstore_stream_idle(struct vpstore *vp)
{
	unsigned int i;

	for (i = 0; i < VPSTORE_CONSOLE_SLOTS; i++)
		if (vp->console_slots[i] &&
		    atomic_read_acquire(&vp->console_slots[i]->state) ==
		    VPSTORE_UNWATCHED)
			return false;
	for (i = 0; i < VPSTORE_PMSG_SLOTS; i++)
		if (vp->pmsg_slots[i] &&
		    atomic_read_acquire(&vp->pmsg_slots[i]->state) ==
		    VPSTORE_UNWATCHED)
			return false;
	return true;
}

/**
 * vpstore_dump_queue - choose a queue for a dump
 * @vp:		device
 * @dying:	the guest panics
 * @budget:	of the dump
 *
 * An oops uses the queue that is there for writing. A panic has one of its
 * own where the device offers it: what the stopped CPUs were doing can't have
 * left that one half changed. Whichever it is, a lock that isn't to be had is
 * the sign of a ring that has to be left alone.
 *
 * Return: a queue, or NULL if none can be used.
 */
struct vpstore_queue *vpstore_dump_queue(struct vpstore *vp, bool dying,
					 struct vpstore_budget *budget)
{
	struct vpstore_queue *order[] = {
		dying ? vp->panic_q : vp->write_q,
		dying ? vp->write_q : vp->command_q,
		dying ? vp->command_q : NULL,
	};
	struct vpstore_queue *found = NULL;
	unsigned long flags;
	unsigned int i;

	vpstore_budget_start(budget);
	for (i = 0; !found && i < ARRAY_SIZE(order) && order[i]; i++) {
		if (!vpstore_trylock_until(order[i], &flags, budget))
			continue;
		/* Late answers end a queue's death. */
		vpstore_reap(order[i]);
		if (!vpstore_gone(order[i]) && !order[i]->dead) {
			found = order[i];
			found->error = 0;
		}
		raw_spin_unlock_irqrestore(&order[i]->lock, flags);
	}
	vpstore_budget_stop(budget);
	return found;
}

static struct vpstore_slot *vpstore_chunk_claim(struct vpstore *vp)
{
	unsigned int count = vp->chunk_count;

	/* What an oops left in a ring that is locked for good can't be had. */
	if (!READ_ONCE(vp->dying))
		count -= VPSTORE_DYING_CHUNKS;
	return vpstore_claim_any(vp->chunks, count);
}

/**
 * vpstore_chunk_get - claim a chunk to fill
 * @vp:		device
 * @q:		where it will go
 * @budget:	of the dump this belongs to
 *
 * Polls within the budget where all are under way, in whichever queue: an
 * oops's dump that gave up has left them in its own, and nobody else looks
 * there.
 *
 * Return: a slot, or NULL if the device is dead.
 */
struct vpstore_slot *vpstore_chunk_get(struct vpstore *vp,
				       struct vpstore_queue *q,
				       struct vpstore_budget *budget)
{
	struct vpstore_slot *slot;
	bool over, there;
	unsigned int i;

	if (READ_ONCE(q->dead))
		vpstore_look(q);
	if (READ_ONCE(q->dead))
		return NULL;

	slot = vpstore_chunk_claim(vp);
	if (slot)
		return slot;

	vpstore_budget_start(budget);
	for (;;) {
		over = vpstore_budget_over(budget);
		for (i = 0; i < VPSTORE_QUEUES; i++)
			vpstore_look(&vp->queues[i]);
		there = vpstore_look(q);
		slot = vpstore_chunk_claim(vp);
		if (slot || over || !there)
			break;
		vpstore_budget_delay(budget);
	}
	vpstore_budget_stop(budget);

	if (!slot && there)
		vpstore_give_up(vp, q, budget);
	return slot;
}

/**
 * vpstore_chunk_send - hand a filled chunk to the device
 * @vp:		device
 * @q:		queue
 * @slot:	from vpstore_chunk_get(); not the caller's any more
 * @text:	what it is; its data lies in @slot already
 * @budget:	of the dump this belongs to
 *
 * Doesn't wait for the answer.
 *
 * Return: 0, or this driver's negative errno.
 */
int vpstore_chunk_send(struct vpstore *vp, struct vpstore_queue *q,
		       struct vpstore_slot *slot,
		       const struct vpstore_text *text,
		       struct vpstore_budget *budget)
{
	u32 head = slot->head;
	unsigned long flags;
	bool locked;
	int ret;

	vpstore_fill_write(slot, text);
	slot->head = head;

	vpstore_budget_start(budget);
	for (;;) {
		locked = vpstore_trylock_until(q, &flags, budget);
		if (!locked) {
			ret = -EBUSY;
			vpstore_release(slot);
			break;
		}
		vpstore_reap(q);
		/* A small ring may be full although slots are left. */
		if (!q->vq) {
			ret = -ENODEV;
			vpstore_release(slot);
		} else if (q->vq->num_free >= VPSTORE_WRITE_DESCS +
					      slot->refs_count ||
			   vpstore_gone(q) || vpstore_budget_over(budget)) {
			ret = vpstore_submit(q, slot, text->len, 0,
					     VPSTORE_UNWATCHED);
		} else {
			ret = -EAGAIN;
		}
		raw_spin_unlock_irqrestore(&q->lock, flags);
		if (ret != -EAGAIN)
			break;
		vpstore_budget_delay(budget);
	}
	vpstore_budget_stop(budget);
	return ret;
}

/**
 * vpstore_chunks_wait - poll until the device has stored all chunks
 * @vp:		device
 * @q:		queue that they were sent to
 * @budget:	of the dump they belong to
 *
 * What is said of vpstore_write_wait() and dead queues holds here, too.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_chunks_wait(struct vpstore *vp, struct vpstore_queue *q,
			struct vpstore_budget *budget)
{
	bool over, there, idle;

	vpstore_budget_start(budget);
	for (;;) {
		over = vpstore_budget_over(budget);
		there = vpstore_look(q);
		idle = vpstore_chunk_idle(vp, q);
		if (idle || over || !there || READ_ONCE(q->dead))
			break;
		vpstore_budget_delay(budget);
	}
	vpstore_budget_stop(budget);

	if (idle)
		return READ_ONCE(q->error);
	if (there && !READ_ONCE(q->dead))
		vpstore_give_up(vp, q, budget);
	return -EIO;
}

/**
 * vpstore_settle - let console and pmsg text that is under way arrive
 * @vp:		device
 * @budget:	of the panic
 *
 * Nothing is said about the order of requests on different queues, so what a
 * dying guest's queue carries has to wait until the other one is empty. A
 * small part of the budget is enough for a host that works, and must not be
 * spent if that queue's owner died inside it.
 */
void vpstore_settle(struct vpstore *vp, struct vpstore_budget *budget)
{
	struct vpstore_budget part = { .limit = budget->limit / 4 };
	struct vpstore_queue *q = vp->write_q;
	unsigned long flags;
	bool usable;

	vpstore_budget_start(&part);
	usable = vpstore_trylock_until(q, &flags, &part);
	if (usable)
		raw_spin_unlock_irqrestore(&q->lock, flags);
	/* Late answers end a queue's death. */
	while (usable && vpstore_look(q) && !READ_ONCE(q->dead) &&
	       !vpstore_stream_idle(vp) && !vpstore_budget_over(&part))
		vpstore_budget_delay(&part);
	vpstore_budget_stop(&part);
	budget->spent += part.spent;
}
