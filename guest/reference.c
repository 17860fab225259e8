// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the whole log as it lies in memory.
 *
 * Formatting is what a raw dump takes its time for, and the host can do that
 * as well: given printk's ring, and which field lies where. The kernel says
 * both in VMCOREINFO, for those who read a crashed kernel's memory. So at a
 * panic the ring's own pages are handed over. Only then: all other CPUs are
 * stopped, and nobody writes to them while the device reads.
 *
 * A record of the ring is a descriptor, an info of the same index, and a block
 * of text at a position that counts on for ever. A part has all three of a
 * range of records, so it can be read without the others.
 */
#include <linux/elf.h>
#include <linux/kernel.h>
#include <linux/kmsg_dump.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "parts.h"

#ifdef VPSTORE_VMCOREINFO

/* What VMCOREINFO has of the ring is some 800 bytes. */
#define VPSTORE_LAYOUT_MAX	2048
/* The part's head, the layout, and what says which records these are. */
#define VPSTORE_RING_HEAD	(VPSTORE_HEAD_ROOM + VPSTORE_LAYOUT_MAX + 192)

/* In less than this a part would hold little but its head. */
#define VPSTORE_RING_MIN	(64 * 1024)

/**
 * struct vpstore_array - a ring of things in memory
 * @data:	its begin
 * @size:	bytes of one
 * @bits:	it has 2^@bits of them
 */
struct vpstore_array {
	void		*data;
	size_t		size;
	unsigned int	bits;
};

static struct {
	struct vpstore_array	descs;
	struct vpstore_array	infos;
	struct vpstore_array	text;
	/* In a descriptor: the text's position, and the one behind it. */
	size_t			begin;
	size_t			next;
	char			layout[VPSTORE_LAYOUT_MAX];
	size_t			layout_len;
} vpstore_ring;

/* The value of a line "name=value". */
static bool vpstore_info(const char *note, const char *name,
			 const char *format, unsigned long *value)
{
	size_t len = strlen(name);
	const char *line;

	for (line = note; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == '=')
			return sscanf(line + len + 1, format, value) == 1;
	}
	return false;
}

/* Keeps the lines that describe the ring: what the host reads it with. */
static bool vpstore_layout(const char *note)
{
	const char *line, *end;
	size_t len;

	for (line = note; (end = strchr(line, '\n')); line = end + 1) {
		if (strncmp(line, "SIZE(pr", 7) &&
		    strncmp(line, "OFFSET(pr", 9))
			continue;
		len = end + 1 - line;
		if (len > VPSTORE_LAYOUT_MAX - vpstore_ring.layout_len)
			return false;
		memcpy(vpstore_ring.layout + vpstore_ring.layout_len, line,
		       len);
		vpstore_ring.layout_len += len;
	}
	return true;
}

/* Whether the device can read it where it lies. */
static bool vpstore_reachable(struct vpstore_array *a)
{
	size_t len = a->size << a->bits;

	/* The kernel's image has an address of its own. */
	if (!virt_addr_valid(a->data))
		a->data = lm_alias(a->data);
	return virt_addr_valid(a->data) && virt_addr_valid(a->data + len - 1);
}

static bool vpstore_ring_find(const char *note)
{
	unsigned long prb, descs, text, bits, data, infos, size_bits, position;
	unsigned long begin, next, desc_size, info_size, text_data;
	const struct {
		const char	*name;
		unsigned long	*value;
	} wanted[] = {
		{ "OFFSET(printk_ringbuffer.desc_ring)", &descs },
		{ "OFFSET(printk_ringbuffer.text_data_ring)", &text },
		{ "OFFSET(prb_desc_ring.count_bits)", &bits },
		{ "OFFSET(prb_desc_ring.descs)", &data },
		{ "OFFSET(prb_desc_ring.infos)", &infos },
		{ "OFFSET(prb_data_ring.size_bits)", &size_bits },
		{ "OFFSET(prb_data_ring.data)", &text_data },
		{ "OFFSET(prb_desc.text_blk_lpos)", &position },
		{ "OFFSET(prb_data_blk_lpos.begin)", &begin },
		{ "OFFSET(prb_data_blk_lpos.next)", &next },
		{ "SIZE(prb_desc)", &desc_size },
		{ "SIZE(printk_info)", &info_size },
	};
	unsigned int i;
	void *rb;

	for (i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!vpstore_info(note, wanted[i].name, "%lu", wanted[i].value))
			return false;
	if (!vpstore_info(note, "SYMBOL(prb)", "%lx", &prb))
		return false;

	rb = *(void **)prb;
	vpstore_ring.descs.data = *(void **)(rb + descs + data);
	vpstore_ring.descs.size = desc_size;
	vpstore_ring.descs.bits = *(unsigned int *)(rb + descs + bits);
	vpstore_ring.infos.data = *(void **)(rb + descs + infos);
	vpstore_ring.infos.size = info_size;
	vpstore_ring.infos.bits = vpstore_ring.descs.bits;
	vpstore_ring.text.data = *(void **)(rb + text + text_data);
	vpstore_ring.text.size = 1;
	vpstore_ring.text.bits = *(unsigned int *)(rb + text + size_bits);
	vpstore_ring.begin = position + begin;
	vpstore_ring.next = position + next;

	return vpstore_reachable(&vpstore_ring.descs) &&
	       vpstore_reachable(&vpstore_ring.infos) &&
	       vpstore_reachable(&vpstore_ring.text);
}

/* Refers to @count of an array's things from number @first on. */
static void vpstore_refer(struct vpstore_request *req,
			  const struct vpstore_array *a, u64 first,
			  size_t count)
{
	size_t all = 1UL << a->bits;
	size_t index = first & (all - 1);
	size_t n = min(count, all - index);

	sg_set_buf(&req->extra[req->extra_count++],
		   a->data + index * a->size, n * a->size);
	if (count > n)
		sg_set_buf(&req->extra[req->extra_count++], a->data,
			   (count - n) * a->size);
}

/**
 * struct vpstore_range - records that make one part
 * @first:	number of the first,
 * @count:	and how many
 * @begin:	position of their text,
 * @len:	and its bytes
 */
struct vpstore_range {
	u64		first;
	u32		count;
	unsigned long	begin;
	unsigned long	len;
};

/*
 * As many records as fit. CPUs that printed at once may have put their text
 * into another order.
 */
static void vpstore_range_fill(struct vpstore_range *r, u64 end, size_t room)
{
	const size_t each = vpstore_ring.descs.size + vpstore_ring.infos.size;
	const unsigned long mask = (1UL << vpstore_ring.descs.bits) - 1;
	unsigned long low = 0, high = 0, begin, next;
	bool any = false;
	void *desc;

	r->begin = 0;
	r->len = 0;
	for (r->count = 0; r->first + r->count < end; r->count++) {
		desc = vpstore_ring.descs.data +
		       ((r->first + r->count) & mask) * vpstore_ring.descs.size;
		begin = *(unsigned long *)(desc + vpstore_ring.begin);
		next = *(unsigned long *)(desc + vpstore_ring.next);
		/* Odd positions stand for no text. */
		if (!(begin & 1)) {
			if (!any || (long)(begin - low) < 0)
				low = begin;
			if (!any || (long)(next - high) > 0)
				high = next;
			any = true;
		}
		if ((r->count + 1) * each + (high - low) > room ||
		    high - low > 1UL << vpstore_ring.text.bits)
			break;
		r->begin = low;
		r->len = high - low;
	}
}

/*
 * Sends the log as it lies in memory. What can't be sent so is left for the
 * walk over the log, which goes on from where this ended.
 */
static void vpstore_reference_send(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_range r = { };
	struct vpstore_request *req;
	size_t len;

	if (!d->queue || virtqueue_get_vring_size(d->queue->vq) <
			 VPSTORE_WRITE_DESCS + VPSTORE_EXTRA_MAX ||
	    !vpstore_log_oldest(&r.first))
		return;

	while (r.first < d->log.iter.next_seq) {
		vpstore_range_fill(&r, d->log.iter.next_seq,
				   vp->max_data - VPSTORE_RING_HEAD);
		if (!r.count)
			return;
		req = vpstore_get(vp, &vp->dumps, d->queue, &d->budget);
		if (!req)
			return;

		len = vpstore_dump_head(vp, d, req->data, req->size,
					d->part + 1, " printk-ring");
		memcpy(req->data + len, vpstore_ring.layout,
		       vpstore_ring.layout_len);
		len += vpstore_ring.layout_len;
		len += scnprintf(req->data + len, req->size - len,
				 "NUMBER(seq)=%llu\nNUMBER(records)=%u\nNUMBER(lpos)=%lu\nNUMBER(bytes)=%lu\nNUMBER(size_bits)=%u\n\n",
				 r.first, r.count, r.begin, r.len,
				 vpstore_ring.text.bits);
		vpstore_fill_write(req, VIRTIO_PSTORE_TYPE_DMESG, d->count, 0);
			req->len = len;

		sg_init_table(req->extra, VPSTORE_EXTRA_MAX);
		vpstore_refer(req, &vpstore_ring.descs, r.first, r.count);
		vpstore_refer(req, &vpstore_ring.infos, r.first, r.count);
		if (r.len)
			vpstore_refer(req, &vpstore_ring.text, r.begin, r.len);
		sg_mark_end(&req->extra[req->extra_count - 1]);
		if (vpstore_send(d->queue, req, &d->budget))
			return;

		d->part++;
		r.first += r.count;
		d->log.iter.cur_seq = r.first;
		d->log.begun = true;
	}
}

/**
 * vpstore_reference_start - have panics send the log as it lies in memory
 * @vp:	device whose raw, extended and max_data are known
 *
 * Return: whether that can be done.
 */
bool vpstore_reference_start(struct vpstore *vp)
{
	const struct elf64_note *note = phys_to_virt(paddr_vmcoreinfo_note());
	const char *text = (const char *)(note + 1) +
			   ALIGN(note->n_namesz, 4);
	bool found = vpstore_ring.layout_len;
	char *copy;

	/* With ACCESS_PLATFORM the device may see copies only. */
	if (!vp->raw || !vp->extended || vp->max_data < VPSTORE_RING_MIN ||
	    virtio_has_feature(vp->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return false;
	if (!found && note->n_descsz && note->n_descsz <= VMCOREINFO_BYTES) {
		copy = kmemdup_nul(text, note->n_descsz, GFP_KERNEL);
		if (!copy)
			return false;
		found = vpstore_ring_find(copy) && vpstore_layout(copy);
		kfree(copy);
		if (!found)
			vpstore_ring.layout_len = 0;
	}
	if (found)
		vp->send_otherwise = vpstore_reference_send;
	return found;
}
#else
bool vpstore_reference_start(struct vpstore *vp)
{
	return false;
}
#endif /* VPSTORE_VMCOREINFO */
