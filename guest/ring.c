// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtqueues.
 *
 * Four ways lead to the device, each with slots of its own:
 *   vpstore_command()		sleeps until the answer is there
 *   vpstore_write_wait()	polls for it: dumps that pstore makes
 *   vpstore_chunk_send()	polls only for a free slot, and at the end for
 *				all answers: raw dumps, a dying guest's text
 *   vpstore_stream_send()	doesn't wait: console and pmsg
 *
 * The second and third are why the rest looks as it does. They run with
 * interrupts off, perhaps in an NMI, while other CPUs may be stopped in the
 * middle of anything. So they allocate nothing, wake nobody (the scheduler's
 * locks may be held), wait for no lock without a bound, and poll the used
 * ring.
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
/* Text that nobody waits for would rather wait in its own place than here. */
#define VPSTORE_STREAM_TRIES	16

/* Descriptors of a request: [req][data] [res], [req] [res][info][data] */
#define VPSTORE_READ_DESCS	4
/* What everything but a dump leaves free in a queue that dumps use. */
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
	if (atomic_cmpxchg(&slot->state, VPSTORE_FREE, VPSTORE_CLAIMED) !=
	    VPSTORE_FREE)
		return false;
	slot->refs_count = 0;
	return true;
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

/* The device has let go of a slot. */
static void vpstore_hand_back(struct vpstore_queue *q,
			      struct vpstore_slot *slot)
{
	int ret;

	if (atomic_cmpxchg(&slot->state, VPSTORE_AWAITED, VPSTORE_DONE) ==
	    VPSTORE_AWAITED)
		return;

	ret = vpstore_result(slot);
	if (ret)
		q->error = ret;
	vpstore_release(slot);
}

static int vpstore_slots_fill(struct vpstore_slot **slots, unsigned int count,
			      u32 size)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		slots[i] = vpstore_slot_alloc(size);
		if (!slots[i])
			return -ENOMEM;
	}
	return 0;
}

static void vpstore_slots_empty(struct vpstore_slot **slots,
				unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		vpstore_slot_free(slots[i]);
		slots[i] = NULL;
	}
}

/**
 * vpstore_slots_alloc - allocate every buffer the device will ever see
 * @vp:	device whose bufsize, chunk_size, raw and types are set
 *
 * Return: 0 or -ENOMEM, and then nothing is allocated.
 */
int vpstore_slots_alloc(struct vpstore *vp)
{
	u32 size = min_t(u32, vp->chunk_size, VPSTORE_CONSOLE_SIZE);

	vp->command = vpstore_slot_alloc(vp->bufsize);
	if (!vp->command)
		goto err;

	/* pstore's dumps and ours are never both made. */
	if (!vp->raw && vpstore_slots_fill(vp->dump, VPSTORE_DUMP_SLOTS,
					   vp->bufsize))
		goto err;
	if (vpstore_slots_fill(vp->chunks, vp->chunk_count, vp->chunk_size))
		goto err;
	if (vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE) &&
	    vpstore_slots_fill(vp->console_slots, VPSTORE_CONSOLE_SLOTS, size))
		goto err;

	size = min_t(u32, vp->chunk_size, VPSTORE_PMSG_SIZE);
	if (vpstore_takes(vp, VIRTIO_PSTORE_TYPE_PMSG) &&
	    vpstore_slots_fill(vp->pmsg_slots, VPSTORE_PMSG_SLOTS, size))
		goto err;
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
	vpstore_slots_empty(vp->pmsg_slots, VPSTORE_PMSG_SLOTS);
	vpstore_slots_empty(vp->console_slots, VPSTORE_CONSOLE_SLOTS);
	vpstore_slots_empty(vp->chunks, VPSTORE_CHUNKS_MAX);
	vpstore_slots_empty(vp->dump, VPSTORE_DUMP_SLOTS);
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
		vpstore_hand_back(q, slot);
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
	bool panic_vq = virtio_has_feature(vdev, VIRTIO_PSTORE_F_PANIC_VQ);
	struct virtqueue *vqs[VPSTORE_QUEUES];
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
	slot->head = 0;
	if (text->data)
		memcpy(slot->data, text->data, text->len);
}

static void vpstore_give_up(struct vpstore *vp, struct vpstore_queue *q,
			    const struct vpstore_budget *budget)
{
	WRITE_ONCE(q->dead, true);
	dev_err(&vp->vdev->dev,
		"no answer in %llu ms of a dump, taking the host for dead\n",
		div_u64(budget->limit, NSEC_PER_MSEC));
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

/* One look at the used ring; false if no answer will ever come. */
static bool vpstore_look(struct vpstore_queue *q)
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
		vp->command_q,
	};
	struct vpstore_queue *found = NULL;
	unsigned long flags;
	unsigned int i;

	vpstore_budget_start(budget);
	for (i = 0; !found && i < ARRAY_SIZE(order); i++) {
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

/**
 * vpstore_chunk_get - claim a chunk to fill
 * @vp:		device
 * @q:		where it will go
 * @budget:	of the dump this belongs to
 *
 * Polls within the budget where all are under way.
 *
 * Return: a slot, or NULL if the device is dead.
 */
struct vpstore_slot *vpstore_chunk_get(struct vpstore *vp,
				       struct vpstore_queue *q,
				       struct vpstore_budget *budget)
{
	struct vpstore_slot *slot;
	bool over, there;

	if (READ_ONCE(q->dead))
		vpstore_look(q);
	if (READ_ONCE(q->dead))
		return NULL;

	slot = vpstore_claim_any(vp->chunks, vp->chunk_count);
	if (slot)
		return slot;

	vpstore_budget_start(budget);
	for (;;) {
		over = vpstore_budget_over(budget);
		there = vpstore_look(q);
		slot = vpstore_claim_any(vp->chunks, vp->chunk_count);
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
 * vpstore_chunk_put - give back a chunk that isn't sent after all
 * @slot:	from vpstore_chunk_get()
 */
void vpstore_chunk_put(struct vpstore_slot *slot)
{
	vpstore_release(slot);
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
	while (usable && !READ_ONCE(q->dead) && vpstore_look(q) &&
	       !vpstore_stream_idle(vp) && !vpstore_budget_over(&part))
		vpstore_budget_delay(&part);
	vpstore_budget_stop(&part);
	budget->spent += part.spent;
}

/*
 * Streams: console and pmsg text. Nothing waits, not even for the lock:
 * printk may have been called with it held, from inside virtio.
 */

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
