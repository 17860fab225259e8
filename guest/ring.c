// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtqueues.
 *
 * Three ways lead to the device, each with slots of its own:
 *   vpstore_command()		sleeps until the answer is there
 *   vpstore_write_wait()	polls for it: oops and panic
 *   vpstore_write_nowait()	doesn't wait: console text
 *
 * The second is why the rest looks as it does. It runs with interrupts off,
 * perhaps in an NMI, while other CPUs may be stopped in the middle of
 * anything. So it allocates nothing, wakes nobody (the scheduler's locks may
 * be held), waits for no lock without a bound, and polls the used ring.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/nmi.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "vpstore.h"

/* A device that needs longer for one command is taken for dead. */
#define VPSTORE_COMMAND_TIMEOUT	(10 * HZ)
/* How often a command looks for itself, should no interrupt come. */
#define VPSTORE_COMMAND_SLICE	(HZ / 10 ?: 1)

#define VPSTORE_POLL_US		2
/*
 * Critical sections take microseconds. Who holds the lock for longer was
 * stopped, or interrupted by this very dump, and won't let go.
 */
#define VPSTORE_LOCK_NS		(10 * NSEC_PER_MSEC)
/* Console writes would rather drop a line than wait longer than this. */
#define VPSTORE_CONSOLE_TRIES	16

/* Descriptors of a request: [req][data] [res], [req] [res][info][data] */
#define VPSTORE_WRITE_DESCS	3
#define VPSTORE_READ_DESCS	4
/* What everything but a dump leaves free in the queue that dumps use. */
#define VPSTORE_DUMP_DESCS	(VPSTORE_DUMP_SLOTS * VPSTORE_WRITE_DESCS)

/*
 * Slots
 */

static struct vpstore_slot *vpstore_slot_alloc(u32 size)
{
	struct vpstore_slot *slot;

	slot = kzalloc(sizeof(*slot), GFP_KERNEL);
	if (!slot)
		return NULL;

	/* The caller has something smaller in mind if this fails. */
	slot->data = kzalloc(size, GFP_KERNEL | __GFP_NOWARN);
	if (!slot->data) {
		kfree(slot);
		return NULL;
	}
	slot->size = size;
	atomic_set(&slot->state, VPSTORE_FREE);
	return slot;
}

static void vpstore_slot_free(struct vpstore_slot *slot)
{
	if (slot)
		kfree(slot->data);
	kfree(slot);
}

static bool vpstore_claim(struct vpstore_slot *slot)
{
	return atomic_cmpxchg(&slot->state, VPSTORE_FREE, VPSTORE_CLAIMED) ==
	       VPSTORE_FREE;
}

static struct vpstore_slot *vpstore_claim_any(struct vpstore_slot **slots,
					      unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (slots[i] && vpstore_claim(slots[i]))
			return slots[i];
	return NULL;
}

static void vpstore_release(struct vpstore_slot *slot)
{
	atomic_set_release(&slot->state, VPSTORE_FREE);
}

static bool vpstore_done(struct vpstore_slot *slot)
{
	return atomic_read_acquire(&slot->state) == VPSTORE_DONE;
}

/* The device has let go of a slot. */
static void vpstore_hand_back(struct vpstore_slot *slot)
{
	if (atomic_cmpxchg(&slot->state, VPSTORE_AWAITED, VPSTORE_DONE) !=
	    VPSTORE_AWAITED)
		vpstore_release(slot);
}

/* Stop waiting; false if the answer arrived at the last moment. */
static bool vpstore_abandon(struct vpstore_slot *slot)
{
	return atomic_cmpxchg(&slot->state, VPSTORE_AWAITED,
			      VPSTORE_UNWATCHED) == VPSTORE_AWAITED;
}

static int vpstore_result(const struct vpstore_slot *slot)
{
	s32 ret = (s32)le32_to_cpu(slot->res.ret);

	/* One device of 2016 answers a WRITE with the byte count. */
	if (ret >= 0)
		return 0;
	/* From 512 on they have a meaning inside the kernel only. */
	return ret > -ERESTARTSYS ? ret : -EIO;
}

/**
 * vpstore_slots_alloc - allocate every buffer the device will ever see
 * @vp:	device whose bufsize and console_offered are set
 *
 * Return: 0 or -ENOMEM, and then nothing is allocated.
 */
int vpstore_slots_alloc(struct vpstore *vp)
{
	unsigned int i;

	vp->command = vpstore_slot_alloc(vp->bufsize);
	if (!vp->command)
		goto err;

	for (i = 0; i < VPSTORE_DUMP_SLOTS; i++) {
		vp->dump[i] = vpstore_slot_alloc(vp->bufsize);
		if (!vp->dump[i])
			goto err;
	}

	for (i = 0; vp->console_offered && i < VPSTORE_CONSOLE_SLOTS; i++) {
		vp->console[i] = vpstore_slot_alloc(VPSTORE_CONSOLE_SIZE);
		if (!vp->console[i])
			goto err;
	}
	return 0;

err:
	vpstore_slots_free(vp);
	return -ENOMEM;
}

/**
 * vpstore_slots_free - free every slot; the device must own none
 * @vp:	device whose queues are stopped
 */
void vpstore_slots_free(struct vpstore *vp)
{
	unsigned int i;

	for (i = 0; i < VPSTORE_CONSOLE_SLOTS; i++) {
		vpstore_slot_free(vp->console[i]);
		vp->console[i] = NULL;
	}
	for (i = 0; i < VPSTORE_DUMP_SLOTS; i++) {
		vpstore_slot_free(vp->dump[i]);
		vp->dump[i] = NULL;
	}
	vpstore_slot_free(vp->command);
	vp->command = NULL;
}

/*
 * Rings. All of these want the queue's lock.
 */

/* Take back what the device has finished with. */
static void vpstore_reap(struct vpstore_queue *q)
{
	struct vpstore_slot *slot;
	unsigned int len;

	if (!q->vq)
		return;

	while ((slot = virtqueue_get_buf(q->vq, &len))) {
		slot->used = len;
		vpstore_hand_back(slot);
		/* However late an answer is, it shows that somebody is there. */
		WRITE_ONCE(q->dead, false);
	}
}

static bool vpstore_gone(const struct vpstore_queue *q)
{
	return !q->vq || virtqueue_is_broken(q->vq);
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
static int vpstore_submit(struct vpstore_queue *q, struct vpstore_slot *slot,
			  size_t len, unsigned int keep,
			  enum vpstore_slot_state state)
{
	bool read = slot->req.cmd == cpu_to_le16(VIRTIO_PSTORE_CMD_READ);
	struct scatterlist req, res, info, data;
	struct scatterlist *sgs[VPSTORE_READ_DESCS];
	unsigned int out = 0, in = 0;
	int ret;

	/* What counts if the device completes this without an answer. */
	slot->res.cmd = 0;
	slot->res.type = 0;
	slot->res.ret = cpu_to_le32(-EIO);
	slot->used = 0;

	sg_init_one(&req, &slot->req, sizeof(slot->req));
	sgs[out++] = &req;
	if (len) {
		sg_init_one(&data, slot->data, len);
		sgs[out++] = &data;
	}

	sg_init_one(&res, &slot->res, sizeof(slot->res));
	sgs[out + in++] = &res;
	if (read) {
		sg_init_one(&info, &slot->info, sizeof(slot->info));
		sgs[out + in++] = &info;
		sg_init_one(&data, slot->data, slot->size);
		sgs[out + in++] = &data;
	}

	if (q->vq->num_free < out + in + keep) {
		ret = -ENOSPC;
		goto err;
	}

	/* Allocates nothing: vpstore_validate() saw to that. */
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
	raw_spin_unlock_irqrestore(&q->lock, flags);

	wake_up(&vp->answered);
}

/**
 * vpstore_ring_start - set the virtqueues up and let the device go
 * @vp:	device without queues
 *
 * Return: 0 or a negative errno, and then no queue is set up.
 */
int vpstore_ring_start(struct vpstore *vp)
{
	static const char * const names[VIRTIO_PSTORE_VQ_COUNT] = {
		[VIRTIO_PSTORE_VQ_READ]		= "pstore_read",
		[VIRTIO_PSTORE_VQ_WRITE]	= "pstore_write",
	};
	struct virtio_device *vdev = vp->vdev;
	struct virtqueue *vqs[VIRTIO_PSTORE_VQ_COUNT];
	unsigned int count = VIRTIO_PSTORE_VQ_COUNT;
	unsigned int i, least;
	unsigned long flags;
	int ret;

	ret = vpstore_find_vqs(vdev, count, vqs, names, vpstore_answered);
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
	vp->write_q = &vp->queues[count - 1];
	virtio_device_ready(vdev);

	for (i = 0; i < count; i++) {
		raw_spin_lock_irqsave(&vp->queues[i].lock, flags);
		vp->queues[i].vq = vqs[i];
		vp->queues[i].dead = false;
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

	for (i = 0; i < VIRTIO_PSTORE_VQ_COUNT; i++) {
		struct vpstore_queue *q = &vp->queues[i];

		raw_spin_lock_irqsave(&q->lock, flags);
		vpstore_reap(q);
		while (q->vq && (slot = virtqueue_detach_unused_buf(q->vq)))
			vpstore_hand_back(slot);
		q->vq = NULL;
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}

	wake_up(&vp->answered);
	/* Lets a command that was under way see its end. */
	mutex_lock(&vp->command_lock);
	mutex_unlock(&vp->command_lock);

	vdev->config->del_vqs(vdev);
}

/*
 * Commands: process context
 */

/**
 * vpstore_command - send a command and sleep until it is answered
 * @vp:		device, its command_lock held
 * @cmd:	VIRTIO_PSTORE_CMD_OPEN, _READ, _ERASE or _CLOSE
 * @type:	record that ERASE means: its type,
 * @id:		its id,
 * @count:	its count
 *
 * READ's answer is in vp->command until command_lock is released.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count)
{
	/* In a queue that dumps use as well, leave them their room. */
	unsigned int keep = vp->command_q == vp->write_q ?
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

	deadline = jiffies + VPSTORE_COMMAND_TIMEOUT;
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
			"command %u was not answered in %u s, taking the host for dead\n",
			cmd, VPSTORE_COMMAND_TIMEOUT / HZ);
		return -EIO;
	}

	/* Nobody but the holder of command_lock will claim it. */
	ret = vpstore_result(slot);
	vpstore_release(slot);
	return ret;
}

/*
 * Writes: any context
 */

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

static void vpstore_fill_write(struct vpstore_slot *slot,
			       const struct vpstore_text *text)
{
	slot->req = (struct virtio_pstore_req) {
		.cmd	= cpu_to_le16(VIRTIO_PSTORE_CMD_WRITE),
		.type	= cpu_to_le16(text->type),
		.flags	= cpu_to_le32(text->flags),
		.count	= cpu_to_le32(text->count),
	};
	memcpy(slot->data, text->data, text->len);
}

/* Poll until the slot's answer is there, within the budget. */
static int vpstore_poll(struct vpstore *vp, struct vpstore_queue *q,
			struct vpstore_slot *slot,
			struct vpstore_budget *budget)
{
	bool gone = false, over;
	unsigned long flags;
	int ret;

	for (;;) {
		/* Asked first: a VM that was paused still gets one last look. */
		over = vpstore_budget_over(budget);
		/* Whoever else holds the lock reaps for us, or never will. */
		if (raw_spin_trylock_irqsave(&q->lock, flags)) {
			vpstore_reap(q);
			gone = vpstore_gone(q);
			raw_spin_unlock_irqrestore(&q->lock, flags);
		}
		if (vpstore_done(slot) || over || gone)
			break;
		vpstore_budget_delay(budget);
	}

	if (vpstore_abandon(slot)) {
		if (gone)
			return -EIO;
		WRITE_ONCE(q->dead, true);
		dev_err(&vp->vdev->dev,
			"no answer in %llu ms of a dump, taking the host for dead\n",
			div_u64(budget->limit, NSEC_PER_MSEC));
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
 * that the queue is dead, and every later write fails at once: parts of the
 * same dump and a later panic's alike, so that a dead host costs a dying
 * guest one budget in all. A panic after an oops gets no second wait of its
 * own: the oops's record is still in the ring, so a host that is merely slow
 * stores it all the same, and its late answer, seen here or in the callback,
 * ends the queue's death.
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

static int vpstore_write_chunk(struct vpstore *vp,
			       const struct vpstore_text *text)
{
	struct vpstore_queue *q = vp->write_q;
	unsigned int tries = VPSTORE_CONSOLE_TRIES;
	unsigned int keep = VPSTORE_DUMP_DESCS;
	struct vpstore_slot *slot;
	unsigned long flags;
	int ret;

	/* printk may be called with this lock held, from inside virtio. */
	while (!raw_spin_trylock_irqsave(&q->lock, flags)) {
		if (!--tries)
			return -EBUSY;
		cpu_relax();
	}

	if (!q->vq) {
		ret = -ENODEV;
		goto out;
	}

	/*
	 * Reap here only when it is needed. Done at every write, it would
	 * leave the interrupt handler with nothing, and an interrupt that
	 * nobody handles is switched off in the end.
	 */
	if (q->dead || q->vq->num_free < VPSTORE_WRITE_DESCS + keep)
		vpstore_reap(q);
	if (q->dead) {
		ret = -EIO;
		goto out;
	}

	slot = vpstore_claim_any(vp->console, VPSTORE_CONSOLE_SLOTS);
	if (!slot) {
		vpstore_reap(q);
		slot = vpstore_claim_any(vp->console, VPSTORE_CONSOLE_SLOTS);
	}
	if (!slot) {
		ret = -EBUSY;
		goto out;
	}

	vpstore_fill_write(slot, text);
	ret = vpstore_submit(q, slot, text->len, keep, VPSTORE_UNWATCHED);
out:
	raw_spin_unlock_irqrestore(&q->lock, flags);
	return ret;
}

/**
 * vpstore_write_nowait - write text without waiting for anything
 * @vp:		device
 * @text:	of any length; goes out in pieces
 *
 * For console text, in any context. What finds no free slot is dropped and
 * counted. Errors of the device are not seen.
 *
 * Return: 0 or a negative errno.
 */
int vpstore_write_nowait(struct vpstore *vp, const struct vpstore_text *text)
{
	struct vpstore_text chunk = *text;
	size_t left = text->len;
	int ret;

	while (left) {
		chunk.len = min_t(size_t, left, VPSTORE_CONSOLE_SIZE);
		ret = vpstore_write_chunk(vp, &chunk);
		if (ret) {
			atomic_long_inc(&vp->console_dropped);
			return ret;
		}
		chunk.data += chunk.len;
		left -= chunk.len;
	}
	return 0;
}
