// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the virtqueues.
 *
 * What is sent at an oops or a panic runs with interrupts off, perhaps in an
 * NMI, while other CPUs may be stopped in the middle of anything. So sending
 * allocates nothing, wakes nobody (the scheduler's locks may be held), waits
 * for no lock without a bound, and polls the used ring within a budget. Console
 * and user space's text have no budget, and don't wait at all: printk may have
 * been called with a queue's lock held, from inside virtio.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/nmi.h>
#include <linux/time64.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "vpstore.h"

/* Between two looks at a queue: in a budget's first millisecond, and later. */
#define VPSTORE_POLL_US		2
#define VPSTORE_POLL_SLOW_US	50
/*
 * Critical sections take microseconds. Who holds the lock for longer was
 * stopped, or interrupted by this very dump, and won't let go.
 */
#define VPSTORE_LOCK_US		(10 * USEC_PER_MSEC)
/* As often is a lock tried by who sends something, but doesn't wait. */
#define VPSTORE_LOCK_TRIES	16

/* How often a command looks for itself, should no interrupt come. */
#define VPSTORE_COMMAND_SLICE	(HZ / 10 ?: 1)

/* Descriptors of a READ: [req] [res][info][data] */
#define VPSTORE_READ_DESCS	4
/* A second part lets a panic write while the device keeps an oops's. */
#define VPSTORE_DUMP_DESCS	(2 * VPSTORE_WRITE_DESCS)
/* What is sent without a budget, and so keeps room in the ring for others. */
#define VPSTORE_TYPES_KEEPING	(BIT(VIRTIO_PSTORE_TYPE_CONSOLE) | \
				 BIT(VIRTIO_PSTORE_TYPE_PMSG))

/**
 * vpstore_budget_init - a new dump begins
 * @budget:	budget to fill
 * @ms:		milliseconds it may wait for the device
 */
void vpstore_budget_init(struct vpstore_budget *budget, unsigned int ms)
{
	budget->limit_ms = ms;
	budget->left_us = ms * USEC_PER_MSEC;
}

/*
 * Spends some of a budget. False if there is none, or nothing is left of it.
 *
 * A delay costs what the clock says it took: more than was asked for where the
 * host had no time for this CPU. But no less than that, as the clock may need
 * an interrupt that doesn't come any more, and no more than a millisecond, as
 * the guest may have been paused.
 */
static bool vpstore_delay(struct vpstore_budget *budget)
{
	u32 us = VPSTORE_POLL_SLOW_US;
	s64 took;

	if (!budget || !budget->left_us)
		return false;
	if (budget->limit_ms * USEC_PER_MSEC - budget->left_us < USEC_PER_MSEC)
		us = VPSTORE_POLL_US;
	took = ktime_get_mono_fast_ns();
	udelay(us);
	took = (s64)ktime_get_mono_fast_ns() - took;
	us = (u32)clamp_t(s64, took, us * NSEC_PER_USEC, NSEC_PER_MSEC) /
	     (u32)NSEC_PER_USEC;
	budget->left_us -= min(budget->left_us, us);
	/* The budget may be longer than the watchdog's patience. */
	touch_nmi_watchdog();
	return true;
}

/* Try for a lock again? @left is what the budget had at the first try. */
static bool vpstore_lock_again(struct vpstore_budget *budget, u32 left)
{
	return budget && left - budget->left_us < VPSTORE_LOCK_US &&
	       vpstore_delay(budget);
}

static bool vpstore_is_empty(const struct vpstore_queue *q)
{
	return q->vq->num_free == virtqueue_get_vring_size(q->vq);
}

static void vpstore_give_up(struct vpstore *vp, struct vpstore_queue *q,
			    const struct vpstore_budget *budget)
{
	unsigned long flags;
	bool dead;

	/* Only an answer ends a queue's death: one must be missing. */
	if (!raw_spin_trylock_irqsave(&q->lock, flags))
		return;
	dead = q->vq && !vpstore_is_empty(q);
	if (dead)
		WRITE_ONCE(q->dead, true);
	raw_spin_unlock_irqrestore(&q->lock, flags);

	if (dead)
		dev_err(&vp->vdev->dev,
			"no answer in %u ms of a dump, taking the host for dead\n",
			budget->limit_ms);
}

/* The device has let go of a request. */
static void vpstore_take_back(struct vpstore_queue *q,
			      struct vpstore_request *req)
{
	int ret = vpstore_result(req);

	if (ret && req->req.type == cpu_to_le16(VIRTIO_PSTORE_TYPE_DMESG))
		q->error = ret;
	vpstore_release(req);
}

/* With the lock held: take back what the device has finished with. */
static void vpstore_reap_locked(struct vpstore_queue *q)
{
	struct vpstore_request *req;
	unsigned int len;

	if (!q->vq)
		return;

	while ((req = virtqueue_get_buf(q->vq, &len))) {
		req->used = len;
		vpstore_take_back(q, req);
		/* However late an answer is, it shows that somebody is there. */
		WRITE_ONCE(q->dead, false);
	}
}

/* With the lock held: 0, or why nothing can be sent. */
static int vpstore_usable(const struct vpstore_queue *q)
{
	if (!q->vq || virtqueue_is_broken(q->vq))
		return -ENODEV;
	return q->dead ? -EIO : 0;
}

/**
 * vpstore_reap - take back what the device has finished with
 * @q:		queue
 * @budget:	to wait for its lock with, or NULL not to wait
 *
 * Return: 0 if nothing is under way any more, 1 if something is; -EBUSY if the
 * lock isn't to be had, -EIO if the queue is dead, -ENODEV if no answer will
 * ever come.
 */
int vpstore_reap(struct vpstore_queue *q, struct vpstore_budget *budget)
{
	u32 left = budget ? budget->left_us : 0;
	unsigned long flags;
	int ret;

	while (!raw_spin_trylock_irqsave(&q->lock, flags))
		if (!vpstore_lock_again(budget, left))
			return -EBUSY;
	vpstore_reap_locked(q);
	ret = vpstore_usable(q) ?: !vpstore_is_empty(q);
	raw_spin_unlock_irqrestore(&q->lock, flags);
	return ret;
}

/* With the lock held. The devices of 2016 expect descriptors split like this. */
static int vpstore_add(struct vpstore_queue *q, struct vpstore_request *req,
		       unsigned int keep)
{
	bool read = req->req.cmd == cpu_to_le16(VIRTIO_PSTORE_CMD_READ);
	struct scatterlist *sgs[VPSTORE_READ_DESCS];
	struct scatterlist head, res, info, data;
	unsigned int out = 0, in = 0, more = 0;
	int ret;

	/* What counts if the device completes this without an answer. */
	req->res.cmd = 0;
	req->res.type = 0;
	req->res.ret = cpu_to_le32(-EIO);
	req->used = 0;

	sg_init_one(&head, &req->req, sizeof(req->req));
	sgs[out++] = &head;
	if (req->len) {
		sg_init_one(&data, req->data + req->offset, req->len);
		sgs[out++] = &data;
	}
	if (req->extra_count) {
		sgs[out++] = req->extra;
		more = req->extra_count - 1;
	}

	sg_init_one(&res, &req->res, sizeof(req->res));
	sgs[out + in++] = &res;
	if (read) {
		sg_init_one(&info, &req->info, sizeof(req->info));
		sgs[out + in++] = &info;
		sg_init_one(&data, req->data, req->size);
		sgs[out + in++] = &data;
	}

	/* A small ring may be full although requests are left. */
	if (q->vq->num_free < out + in + more + keep)
		return -ENOSPC;

	/* Allocates nothing: vpstore_validate() saw to that. */
	req->queue = q;
	atomic_set(&req->state, VPSTORE_SENT);
	ret = virtqueue_add_sgs(q->vq, sgs, out, in, req, GFP_ATOMIC);
	if (!ret)
		virtqueue_kick(q->vq);
	return ret;
}

/* Have an interrupt say when the device has used a buffer. */
static void vpstore_want_interrupt(struct vpstore_queue *q)
{
	unsigned long flags;

	if (!raw_spin_trylock_irqsave(&q->lock, flags))
		return;
	/* What was answered in between is reaped by the next who comes. */
	if (q->vq && q->quiet)
		virtqueue_enable_cb(q->vq);
	raw_spin_unlock_irqrestore(&q->lock, flags);
}

/**
 * vpstore_send - hand a filled request to the device
 * @q:		queue
 * @req:	from vpstore_get(); not the caller's any more
 * @budget:	for the queue's lock and room in its ring; NULL waits for
 *		neither, leaves room in the ring for dumps and a command, and
 *		has VPSTORE_ANSWERED come where there is no more than that
 *
 * For any context. Doesn't wait for the answer.
 *
 * Return: 0, or a negative errno, and then the request is free again.
 */
int vpstore_send(struct vpstore_queue *q, struct vpstore_request *req,
		 struct vpstore_budget *budget)
{
	unsigned int keep = budget ? 0 : q->keep;
	unsigned int tries = VPSTORE_LOCK_TRIES;
	unsigned long flags;
	u32 left;
	int ret;

	do {
		left = budget ? budget->left_us : 0;
		while (!raw_spin_trylock_irqsave(&q->lock, flags)) {
			if (!vpstore_lock_again(budget, left) &&
			    (budget || !--tries)) {
				vpstore_release(req);
				return -EBUSY;
			}
			cpu_relax();
		}
		ret = vpstore_usable(q) ?: vpstore_add(q, req, keep);
		/* Only then: an interrupt that finds nothing wakes nobody. */
		if (ret == -EIO || ret == -ENOSPC) {
			vpstore_reap_locked(q);
			ret = vpstore_usable(q) ?: vpstore_add(q, req, keep);
		}
		raw_spin_unlock_irqrestore(&q->lock, flags);
	} while (ret == -ENOSPC && vpstore_delay(budget));

	if (ret == -ENOSPC && !budget)
		vpstore_want_interrupt(q);
	if (ret)
		vpstore_release(req);
	return ret;
}

/**
 * vpstore_get - claim a request to fill
 * @vp:		device
 * @pool:	one of this pool
 * @q:		where it will go
 * @budget:	to wait for one with; NULL doesn't wait, but has
 *		VPSTORE_ANSWERED come
 *
 * Those of a dump may be under way in whichever queue: an oops's dump that
 * gave up has left them in its own, and nobody else looks there. None is waited
 * for where it is under way in dead queues only.
 *
 * Return: a request, or NULL.
 */
struct vpstore_request *vpstore_get(struct vpstore *vp,
				    struct vpstore_pool *pool,
				    struct vpstore_queue *q,
				    struct vpstore_budget *budget)
{
	bool in_panic = READ_ONCE(vp->in_panic);
	struct vpstore_request *req;
	unsigned int i;
	bool hope;
	int ret;

	if (READ_ONCE(q->dead) && vpstore_reap(q, NULL) < 0)
		return NULL;
	req = vpstore_pool_claim(pool, in_panic);
	if (req)
		return req;

	if (!budget) {
		vpstore_reap(q, NULL);
		req = vpstore_pool_claim(pool, in_panic);
		if (!req)
			vpstore_want_interrupt(q);
		return req;
	}

	do {
		hope = false;
		for (i = 0; i < VPSTORE_QUEUES; i++) {
			ret = vpstore_reap(&vp->queues[i], NULL);
			hope |= ret > 0 || ret == -EBUSY;
		}
		req = vpstore_pool_claim(pool, in_panic);
		if (req)
			return req;
	} while (hope && vpstore_delay(budget));

	if (hope)
		vpstore_give_up(vp, q, budget);
	return NULL;
}

/**
 * vpstore_wait - poll until the device has answered a dump's requests
 * @vp:		device
 * @q:		queue that they were sent to
 * @budget:	of the dump
 *
 * Waits within the budget once. After that the queue is dead, and everything
 * later in it fails at once, so that a dead host costs a dump one budget in
 * all. What is in the ring already a host that is merely slow stores all the
 * same, and its late answer ends the queue's death.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_wait(struct vpstore *vp, struct vpstore_queue *q,
		 struct vpstore_budget *budget)
{
	bool idle;
	int ret;

	do {
		ret = vpstore_reap(q, NULL);
		idle = vpstore_pool_idle(&vp->dumps, q);
		if (idle || ret == -EIO || ret == -ENODEV)
			break;
	} while (vpstore_delay(budget));

	if (idle)
		return READ_ONCE(q->error);
	if (ret != -EIO && ret != -ENODEV)
		vpstore_give_up(vp, q, budget);
	return -EIO;
}

/**
 * vpstore_choose_queue - choose a queue for a dump
 * @vp:		device
 * @panic:	the guest panics
 * @budget:	of the dump
 *
 * An oops uses the queue that is there for writing. A panic has one of its
 * own where the device offers it: what the stopped CPUs were doing can't have
 * left that one half changed. Whichever it is, a lock that isn't to be had is
 * the sign of a ring that has to be left alone.
 *
 * Return: a queue, or NULL if none can be used.
 */
struct vpstore_queue *vpstore_choose_queue(struct vpstore *vp, bool panic,
					   struct vpstore_budget *budget)
{
	struct vpstore_queue *order[] = {
		panic ? vp->panic_q : vp->write_q,
		panic ? vp->write_q : vp->command_q,
		panic ? vp->command_q : NULL,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order) && order[i]; i++) {
		/* Late answers end a queue's death. */
		if (vpstore_reap(order[i], budget) < 0)
			continue;
		WRITE_ONCE(order[i]->error, 0);
		return order[i];
	}
	return NULL;
}

/**
 * vpstore_settle - let what is under way in the queue for writing arrive
 * @vp:		device
 * @budget:	of which a quarter may be spent
 *
 * Nothing is said about the order of requests on different queues, so what a
 * panic's queue carries has to wait until the other one is empty. A small part
 * of the budget is enough for a host that works, and must not be spent if that
 * queue's owner was stopped inside it.
 */
void vpstore_settle(struct vpstore *vp, struct vpstore_budget *budget)
{
	u32 keep = budget->left_us - budget->left_us / 4;
	int ret = vpstore_reap(vp->write_q, budget);

	if (ret == -EBUSY)
		return;
	while ((ret > 0 || ret == -EBUSY) && budget->left_us > keep) {
		vpstore_delay(budget);
		ret = vpstore_reap(vp->write_q, NULL);
	}
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
 * READ's answer is in vp->command until command_lock is released: nobody else
 * claims it.
 *
 * Return: 0, or the device's or this driver's negative errno.
 */
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count,
		    unsigned long timeout)
{
	struct vpstore_request *req = vp->command;
	struct vpstore_queue *q = vp->command_q;
	unsigned long flags, deadline;
	bool gone, late;
	int ret;

	lockdep_assert_held(&vp->command_lock);

	raw_spin_lock_irqsave(&q->lock, flags);
	/* An answer that came too late frees the request and revives the queue. */
	vpstore_reap_locked(q);
	ret = vpstore_usable(q);
	if (!ret && !vpstore_claim(req))
		ret = -EIO;
	if (!ret) {
		req->req = (struct virtio_pstore_req) {
			.cmd	= cpu_to_le16(cmd),
			.type	= cpu_to_le16(type),
			.id	= cpu_to_le64(id),
			.count	= cpu_to_le32(count),
		};
		ret = vpstore_add(q, req, 0);
		if (ret)
			vpstore_release(req);
	}
	raw_spin_unlock_irqrestore(&q->lock, flags);
	if (ret)
		return ret;

	timeout = min_t(unsigned long, timeout, VPSTORE_ANSWER_TIMEOUT);
	deadline = jiffies + timeout;
	do {
		wait_event_timeout(vp->answered, vpstore_is_free(req),
				   VPSTORE_COMMAND_SLICE);
		/*
		 * Perhaps a dump's polling took the answer, which wakes
		 * nobody, or the device was pulled out, which answers nothing.
		 */
		raw_spin_lock_irqsave(&q->lock, flags);
		vpstore_reap_locked(q);
		gone = vpstore_usable(q) == -ENODEV;
		late = !gone && !vpstore_is_free(req) &&
		       time_after_eq(jiffies, deadline);
		if (late)
			WRITE_ONCE(q->dead, true);
		raw_spin_unlock_irqrestore(&q->lock, flags);
		if (vpstore_is_free(req))
			return vpstore_result(req);
	} while (!gone && !late);

	if (late)
		dev_err(&vp->vdev->dev,
			"command %u was not answered in %u ms, taking the host for dead\n",
			cmd, jiffies_to_msecs(timeout));
	return -EIO;
}

static void vpstore_answered(struct virtqueue *vq)
{
	struct vpstore *vp = vq->vdev->priv;
	struct vpstore_queue *q = &vp->queues[vq->index];
	unsigned long flags;

	/* Nothing may be left to reap: a dump's polling was faster. */
	raw_spin_lock_irqsave(&q->lock, flags);
	vpstore_reap_locked(q);
	if (q->vq && q->quiet)
		virtqueue_disable_cb(q->vq);
	raw_spin_unlock_irqrestore(&q->lock, flags);

	wake_up(&vp->answered);
	atomic_notifier_call_chain(&vp->events, VPSTORE_ANSWERED, vp);
}

/**
 * vpstore_queues_start - set the virtqueues up and let the device go
 * @vp:	device without queues
 *
 * Return: 0 or a negative errno, and then no queue is set up.
 */
int vpstore_queues_start(struct vpstore *vp)
{
	static const char * const names[VPSTORE_QUEUES] = {
		[VIRTIO_PSTORE_VQ_READ]		= "pstore_read",
		[VIRTIO_PSTORE_VQ_WRITE]	= "pstore_write",
		[VIRTIO_PSTORE_VQ_PANIC]	= "pstore_panic",
	};
	unsigned int count = VIRTIO_PSTORE_VQ_COUNT + vp->panic_vq;
	struct virtio_device *vdev = vp->vdev;
	struct virtqueue *vqs[VPSTORE_QUEUES];
	struct vpstore_queue *q;
	unsigned int i, least;
	unsigned long flags;
	int ret;

	BUILD_BUG_ON(VPSTORE_QUEUES != VPSTORE_VQS_MAX);

	/* A device takes every command on every queue it has. */
	do {
		ret = vpstore_find_vqs(vdev, count, vqs, names,
				       vpstore_answered);
	} while (ret && --count);
	if (ret) {
		dev_err(&vdev->dev, "no virtqueue to be had: %d\n", ret);
		return ret;
	}

	least = VPSTORE_READ_DESCS + (count == 1 ? VPSTORE_DUMP_DESCS : 0);
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
	vp->panic_q = &vp->queues[count == VPSTORE_QUEUES ?
				  VIRTIO_PSTORE_VQ_PANIC : 0];
	virtio_device_ready(vdev);

	for (i = 0; i < count; i++) {
		q = &vp->queues[i];
		raw_spin_lock_irqsave(&q->lock, flags);
		q->vq = vqs[i];
		q->dead = false;
		q->error = 0;
		q->keep = VPSTORE_DUMP_DESCS +
			  (q == vp->command_q ? VPSTORE_READ_DESCS : 0);
		/* Answers to commands are waited for, others polled for. */
		q->quiet = i > 0;
		if (q->quiet)
			virtqueue_disable_cb(q->vq);
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}

	q = vp->write_q;
	if (vp->types & VPSTORE_TYPES_KEEPING &&
	    virtqueue_get_vring_size(q->vq) < VPSTORE_WRITE_DESCS + q->keep) {
		vp->types &= ~VPSTORE_TYPES_KEEPING;
		dev_warn(&vdev->dev,
			 "neither console nor pmsg: their virtqueue has fewer than %u entries\n",
			 VPSTORE_WRITE_DESCS + q->keep);
	}
	return 0;
}

/**
 * vpstore_queues_stop - reset the device and take every buffer back from it
 * @vp:	device, started or not
 *
 * Whoever still waits gets -EIO; until vpstore_queues_start() everything else
 * gets -ENODEV.
 */
void vpstore_queues_stop(struct vpstore *vp)
{
	struct virtio_device *vdev = vp->vdev;
	struct vpstore_request *req;
	struct vpstore_queue *q;
	unsigned long flags;
	unsigned int i;

	/* From here on the device touches no buffer. */
	virtio_reset_device(vdev);

	for (i = 0; i < VPSTORE_QUEUES; i++) {
		q = &vp->queues[i];
		raw_spin_lock_irqsave(&q->lock, flags);
		vpstore_reap_locked(q);
		while (q->vq && (req = virtqueue_detach_unused_buf(q->vq)))
			vpstore_take_back(q, req);
		q->vq = NULL;
		raw_spin_unlock_irqrestore(&q->lock, flags);
	}

	wake_up(&vp->answered);
	/* Lets a command that was under way see its end. */
	mutex_lock(&vp->command_lock);
	mutex_unlock(&vp->command_lock);

	vdev->config->del_vqs(vdev);
}
