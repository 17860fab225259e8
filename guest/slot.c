// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: slots: the memory that the device sees, and who owns it.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "ring.h"

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

bool vpstore_claim(struct vpstore_slot *slot)
{
	if (atomic_cmpxchg(&slot->state, VPSTORE_FREE, VPSTORE_CLAIMED) !=
	    VPSTORE_FREE)
		return false;
	slot->refs_count = 0;
	return true;
}

struct vpstore_slot *vpstore_claim_any(struct vpstore_slot **slots,
				       unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (slots[i] && vpstore_claim(slots[i]))
			return slots[i];
	return NULL;
}

int vpstore_result(const struct vpstore_slot *slot)
{
	s32 ret = (s32)le32_to_cpu(slot->res.ret);

	/* One device of 2016 answers a WRITE with the byte count. */
	if (ret >= 0)
		return 0;
	/* From 512 on they have a meaning inside the kernel only. */
	return ret > -ERESTARTSYS ? ret : -EIO;
}

/* The device has let go of a slot. */
void vpstore_hand_back(struct vpstore_queue *q, struct vpstore_slot *slot)
{
	int ret;

	if (atomic_cmpxchg(&slot->state, VPSTORE_AWAITED, VPSTORE_DONE) ==
	    VPSTORE_AWAITED)
		return;

	ret = vpstore_result(slot);
	if (ret && slot->req.type == cpu_to_le16(VIRTIO_PSTORE_TYPE_DMESG))
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
 * @vp:	device whose bufsize, chunk_size, chunk_count, raw and types are set
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

void vpstore_fill_write(struct vpstore_slot *slot,
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
