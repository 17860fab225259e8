// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: requests, the memory that the device sees.
 */
#include <linux/slab.h>

#include "vpstore.h"

/**
 * vpstore_request_alloc - allocate a request
 * @size:	bytes of its buffer
 *
 * Return: a request that is free, or NULL.
 */
struct vpstore_request *vpstore_request_alloc(u32 size)
{
	struct vpstore_request *req;

	req = kzalloc(sizeof(*req), GFP_KERNEL);
	if (!req)
		return NULL;

	/* The caller has something smaller in mind if this fails. */
	req->data = kzalloc(size, GFP_KERNEL | __GFP_NOWARN);
	if (!req->data) {
		kfree(req);
		return NULL;
	}
	req->size = size;
	atomic_set(&req->state, VPSTORE_FREE);
	return req;
}

void vpstore_request_free(struct vpstore_request *req)
{
	if (req)
		kfree(req->data);
	kfree(req);
}

/**
 * vpstore_pool_alloc - allocate a pool's requests
 * @pool:	pool without any
 * @count:	how many, VPSTORE_POOL_MAX at most
 * @size:	bytes of each one's buffer
 *
 * Return: 0 or -ENOMEM, and then nothing is allocated.
 */
int vpstore_pool_alloc(struct vpstore_pool *pool, unsigned int count, u32 size)
{
	for (pool->count = 0; pool->count < count; pool->count++) {
		pool->requests[pool->count] = vpstore_request_alloc(size);
		if (!pool->requests[pool->count]) {
			vpstore_pool_free(pool);
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * vpstore_pool_free - free a pool's requests; the device must own none
 * @pool:	pool
 */
void vpstore_pool_free(struct vpstore_pool *pool)
{
	while (pool->count)
		vpstore_request_free(pool->requests[--pool->count]);
}

bool vpstore_claim(struct vpstore_request *req)
{
	if (atomic_cmpxchg(&req->state, VPSTORE_FREE, VPSTORE_CLAIMED) !=
	    VPSTORE_FREE)
		return false;
	req->extra_count = 0;
	return true;
}

struct vpstore_request *vpstore_pool_claim(struct vpstore_pool *pool,
					   bool in_panic)
{
	unsigned int count = pool->count - (in_panic ? 0 : pool->reserved);
	unsigned int i;

	for (i = 0; i < count; i++)
		if (vpstore_claim(pool->requests[i]))
			return pool->requests[i];
	return NULL;
}

/* Whether the device has answered all that was sent from a pool to a queue. */
bool vpstore_pool_idle(const struct vpstore_pool *pool,
		       const struct vpstore_queue *q)
{
	const struct vpstore_request *req;
	unsigned int i;

	for (i = 0; i < pool->count; i++) {
		req = pool->requests[i];
		if (atomic_read_acquire(&req->state) == VPSTORE_SENT &&
		    req->queue == q)
			return false;
	}
	return true;
}

/* Give back a request that was claimed, or that the device has answered. */
void vpstore_release(struct vpstore_request *req)
{
	atomic_set_release(&req->state, VPSTORE_FREE);
}

bool vpstore_is_free(const struct vpstore_request *req)
{
	return atomic_read_acquire(&req->state) == VPSTORE_FREE;
}

int vpstore_result(const struct vpstore_request *req)
{
	s32 ret = (s32)le32_to_cpu(req->res.ret);

	/* One device of 2016 answers a WRITE with the byte count. */
	if (ret >= 0)
		return 0;
	/* From 512 on they have a meaning inside the kernel only. */
	return ret > -ERESTARTSYS ? ret : -EIO;
}

/* The caller sets @len and fills the buffer. */
void vpstore_fill_write(struct vpstore_request *req, u16 type, u32 count,
			u32 flags)
{
	req->req = (struct virtio_pstore_req) {
		.cmd	= cpu_to_le16(VIRTIO_PSTORE_CMD_WRITE),
		.type	= cpu_to_le16(type),
		.flags	= cpu_to_le32(flags),
		.count	= cpu_to_le32(count),
	};
	req->offset = 0;
}
