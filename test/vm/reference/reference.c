// SPDX-License-Identifier: MIT
/*
 * What the reference libraries make of data: each request on stdin is a byte for
 * what to do, a u32 length and so many bytes; each answer on stdout a u32 length,
 * all ones where the library refuses, and so many bytes.
 */
#include <lz4.h>
#include <lz4hc.h>
#include <lzo/lzo1x.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#define MAX_BYTES (1 << 20)

static unsigned char in[MAX_BYTES], out[2 * MAX_BYTES];
static unsigned char work[LZO1X_999_MEM_COMPRESS];

static long run(int what, uint32_t len)
{
	lzo_uint lzo_len = sizeof(out);
	size_t size;

	switch (what) {
	case 'q':
		return LZ4_compress_default((char *)in, (char *)out, len, sizeof(out));
	case 'h':
		return LZ4_compress_HC((char *)in, (char *)out, len, sizeof(out), 9);
	case 'Q':
		return LZ4_decompress_safe((char *)in, (char *)out, len, sizeof(out));
	case 'l':
		return lzo1x_1_compress(in, len, out, &lzo_len, work) ? -1 : (long)lzo_len;
	case 'm':
		return lzo1x_999_compress(in, len, out, &lzo_len, work) ? -1 : (long)lzo_len;
	case 'L':
		return lzo1x_decompress_safe(in, len, out, &lzo_len, NULL) ? -1 : (long)lzo_len;
	case 'z':
		size = ZSTD_compress(out, sizeof(out), in, len, 3);
		return ZSTD_isError(size) ? -1 : (long)size;
	case 'y':
		size = ZSTD_compress(out, sizeof(out), in, len, 19);
		return ZSTD_isError(size) ? -1 : (long)size;
	case 'Z':
		size = ZSTD_decompress(out, sizeof(out), in, len);
		return ZSTD_isError(size) ? -1 : (long)size;
	}
	exit(2);
}

int main(void)
{
	uint32_t len;
	int what;

	if (lzo_init())
		return 1;
	while ((what = getchar()) != EOF) {
		long done;

		if (fread(&len, sizeof(len), 1, stdin) != 1 || len > MAX_BYTES ||
		    fread(in, 1, len, stdin) != len)
			return 1;
		done = run(what, len);
		len = done < 0 ? UINT32_MAX : (uint32_t)done;
		fwrite(&len, sizeof(len), 1, stdout);
		if (done > 0)
			fwrite(out, 1, done, stdout);
	}
	return fflush(stdout) ? 1 : 0;
}
