/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_COMPAT_H
#define _VPSTORE_COMPAT_H
/*
 * Every difference between the kernels this module is built for, 6.1 and
 * later, lives here.
 */
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

/* 6.11 gathered the queues' names and callbacks into one array. */
static inline int vpstore_find_vqs(struct virtio_device *vdev,
				   unsigned int count, struct virtqueue *vqs[],
				   const char * const names[],
				   vq_callback_t *callback)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info info[] = {
		{ .name = names[0], .callback = callback },
		{ .name = names[1], .callback = callback },
	};

	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#else
	vq_callback_t *callbacks[] = { callback, callback };

	return virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
#endif
}

#endif /* _VPSTORE_COMPAT_H */
