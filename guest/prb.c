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
#include "vpstore.h"

#ifdef VPSTORE_VMCOREINFO

/* What VMCOREINFO has of the ring is some 800 bytes. */
#define VPSTORE_LAYOUT_MAX	2048
/* The part's head, the layout, and what says which records these are. */
#define VPSTORE_PRB_HEAD	(VPSTORE_HEAD_ROOM + VPSTORE_LAYOUT_MAX + 192)

/* In less than this a part would hold little but its head. */
#define VPSTORE_PRB_MIN		(64 * 1024)

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
	/* In an info. */
	size_t			seq;
	char			layout[VPSTORE_LAYOUT_MAX];
	size_t			layout_len;
} vpstore_prb;

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
		if (len > VPSTORE_LAYOUT_MAX - vpstore_prb.layout_len)
			return false;
		memcpy(vpstore_prb.layout + vpstore_prb.layout_len, line,
		       len);
		vpstore_prb.layout_len += len;
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

static bool vpstore_prb_find(const char *note)
{
	unsigned long prb, descs, text, bits, data, infos, size_bits, position;
	unsigned long begin, next, desc_size, info_size, seq, text_data;
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
		{ "OFFSET(printk_info.seq)", &seq },
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
	vpstore_prb.descs.data = *(void **)(rb + descs + data);
	vpstore_prb.descs.size = desc_size;
	vpstore_prb.descs.bits = *(unsigned int *)(rb + descs + bits);
	vpstore_prb.infos.data = *(void **)(rb + descs + infos);
	vpstore_prb.infos.size = info_size;
	vpstore_prb.infos.bits = vpstore_prb.descs.bits;
	vpstore_prb.text.data = *(void **)(rb + text + text_data);
	vpstore_prb.text.size = 1;
	vpstore_prb.text.bits = *(unsigned int *)(rb + text + size_bits);
	vpstore_prb.begin = position + begin;
	vpstore_prb.next = position + next;
	vpstore_prb.seq = seq;

	return vpstore_reachable(&vpstore_prb.descs) &&
	       vpstore_reachable(&vpstore_prb.infos) &&
	       vpstore_reachable(&vpstore_prb.text);
}

/**
 * vpstore_prb_init - find printk's ring
 * @vp:	device whose features and max_data are known
 *
 * Return: whether vpstore_prb_dump() can be used.
 */
bool vpstore_prb_init(const struct vpstore *vp)
{
	const struct elf64_note *note = phys_to_virt(paddr_vmcoreinfo_note());
	const char *text = (const char *)(note + 1) +
			   ALIGN(note->n_namesz, 4);
	char *copy;
	bool found;

	/* With ACCESS_PLATFORM the device may see copies only. */
	if (!vp->extended || vp->max_data < VPSTORE_PRB_MIN ||
	    virtio_has_feature(vp->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return false;
	if (vpstore_prb.layout_len)
		return true;
	if (!note->n_descsz || note->n_descsz > VMCOREINFO_BYTES)
		return false;
	copy = kmemdup_nul(text, note->n_descsz, GFP_KERNEL);
	if (!copy)
		return false;
	found = vpstore_prb_find(copy) && vpstore_layout(copy);
	kfree(copy);
	if (!found)
		vpstore_prb.layout_len = 0;
	return found;
}

/* Refers to @count of an array's things from number @first on. */
static void vpstore_refer(struct vpstore_slot *slot,
			  const struct vpstore_array *a, u64 first,
			  size_t count)
{
	size_t all = 1UL << a->bits;
	size_t index = first & (all - 1);
	size_t n = min(count, all - index);

	sg_set_buf(&slot->refs[slot->refs_count++],
		   a->data + index * a->size, n * a->size);
	if (count > n)
		sg_set_buf(&slot->refs[slot->refs_count++], a->data,
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
	const size_t each = vpstore_prb.descs.size + vpstore_prb.infos.size;
	const unsigned long mask = (1UL << vpstore_prb.descs.bits) - 1;
	unsigned long low = 0, high = 0, begin, next;
	bool any = false;
	void *desc;

	r->begin = 0;
	r->len = 0;
	for (r->count = 0; r->first + r->count < end; r->count++) {
		desc = vpstore_prb.descs.data +
		       ((r->first + r->count) & mask) * vpstore_prb.descs.size;
		begin = *(unsigned long *)(desc + vpstore_prb.begin);
		next = *(unsigned long *)(desc + vpstore_prb.next);
		/* Odd positions stand for no text. */
		if (!(begin & 1)) {
			if (!any || (long)(begin - low) < 0)
				low = begin;
			if (!any || (long)(next - high) > 0)
				high = next;
			any = true;
		}
		if ((r->count + 1) * each + (high - low) > room ||
		    high - low > 1UL << vpstore_prb.text.bits)
			break;
		r->begin = low;
		r->len = high - low;
	}
}

/**
 * vpstore_prb_dump - send the log as it lies in memory
 * @vp:	device that is dying
 * @d:	the panic's dump, begun
 *
 * What can't be sent so is left for the walk over the log, which goes on from
 * where this ended.
 */
void vpstore_prb_dump(struct vpstore *vp, struct vpstore_dump *d)
{
	struct vpstore_text text = {
		.type	= VIRTIO_PSTORE_TYPE_DMESG,
		.count	= d->count,
	};
	struct vpstore_range r = { };
	struct vpstore_slot *slot;
	size_t len;

	if (!d->queue || virtqueue_get_vring_size(d->queue->vq) <
			 VPSTORE_WRITE_DESCS + VPSTORE_REFS ||
	    !vpstore_log_oldest(&r.first))
		return;

	while (r.first < d->log.iter.next_seq) {
		vpstore_range_fill(&r, d->log.iter.next_seq,
				   vp->max_data - VPSTORE_PRB_HEAD);
		if (!r.count)
			return;
		slot = vpstore_chunk_get(vp, d->queue, &d->budget);
		if (!slot)
			return;

		len = vpstore_dump_head(vp, d, slot->data, slot->size,
					++d->part, " printk-ring");
		memcpy(slot->data + len, vpstore_prb.layout,
		       vpstore_prb.layout_len);
		len += vpstore_prb.layout_len;
		len += scnprintf(slot->data + len, slot->size - len,
				 "NUMBER(seq)=%llu\nNUMBER(records)=%u\nNUMBER(lpos)=%lu\nNUMBER(bytes)=%lu\nNUMBER(size_bits)=%u\n\n",
				 r.first, r.count, r.begin, r.len,
				 vpstore_prb.text.bits);
		slot->head = 0;
		text.len = len;

		sg_init_table(slot->refs, VPSTORE_REFS);
		slot->refs_count = 0;
		vpstore_refer(slot, &vpstore_prb.descs, r.first, r.count);
		vpstore_refer(slot, &vpstore_prb.infos, r.first, r.count);
		if (r.len)
			vpstore_refer(slot, &vpstore_prb.text, r.begin, r.len);
		sg_mark_end(&slot->refs[slot->refs_count - 1]);
		if (vpstore_chunk_send(vp, d->queue, slot, &text, &d->budget)) {
			d->part--;
			return;
		}

		r.first += r.count;
		d->log.iter.cur_seq = r.first;
		d->log.begun = true;
	}
}
#else
bool vpstore_prb_init(const struct vpstore *vp)
{
	return false;
}

void vpstore_prb_dump(struct vpstore *vp, struct vpstore_dump *d)
{
}
#endif /* VPSTORE_VMCOREINFO */
