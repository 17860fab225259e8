/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_RING_H
#define _VPSTORE_RING_H
/*
 * virtio-pstore driver: the way to the device.
 *
 * Four ways, each with slots of its own:
 *   vpstore_command()		ring.c: sleeps until the answer is there
 *   vpstore_write_wait()	polled.c: polls for it: dumps that pstore makes
 *   vpstore_chunk_send()	polled.c: polls only for a free slot, and at the
 *				end for all answers: raw dumps, a dying guest's
 *				text
 *   vpstore_stream_send()	stream.c: doesn't wait: console and pmsg
 */
#include "vpstore.h"

/* What everything but a dump leaves free in a queue that dumps use. */
#define VPSTORE_DUMP_DESCS	(VPSTORE_DUMP_SLOTS * VPSTORE_WRITE_DESCS)

/* Who can sleep waits no longer than this for a command's answer, or a slot. */
#define VPSTORE_ANSWER_TIMEOUT	(10 * HZ)

/* slot.c */
bool vpstore_claim(struct vpstore_slot *slot);
struct vpstore_slot *vpstore_claim_any(struct vpstore_slot **slots,
				       unsigned int count);
int vpstore_result(const struct vpstore_slot *slot);
void vpstore_hand_back(struct vpstore_queue *q, struct vpstore_slot *slot);
void vpstore_fill_write(struct vpstore_slot *slot,
			const struct vpstore_text *text);

static inline bool vpstore_done(struct vpstore_slot *slot)
{
	return atomic_read_acquire(&slot->state) == VPSTORE_DONE;
}

/* Stop waiting; false if the answer arrived at the last moment. */
static inline bool vpstore_abandon(struct vpstore_slot *slot)
{
	return atomic_cmpxchg(&slot->state, VPSTORE_AWAITED,
			      VPSTORE_UNWATCHED) == VPSTORE_AWAITED;
}

/* ring.c: with the queue's lock held */
void vpstore_reap(struct vpstore_queue *q);
int vpstore_submit(struct vpstore_queue *q, struct vpstore_slot *slot,
		   size_t len, unsigned int keep,
		   enum vpstore_slot_state state);

static inline bool vpstore_gone(const struct vpstore_queue *q)
{
	return !q->vq || virtqueue_is_broken(q->vq);
}

/* polled.c */
bool vpstore_look(struct vpstore_queue *q);

#endif /* _VPSTORE_RING_H */
