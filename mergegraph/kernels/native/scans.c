/* Reductions and scans of this package for a strip of a tile, each as `scan_` and its name; they do what the kernels do.

   A state is that of scans.py beside this file. A strip lies in one block, and has at most STRIP elements. */

#define STRIP 512
#define BLOCK 65536
#define WIDE 1024
#define NARROW 16

/* The `n` elements from the `place`-th on of a tensor, which come after `before` others of a tile of `count`. */
struct strip { i64 place, n, before, count; };

INLINE struct strip cut(i64 start, i64 before, i64 count) {
  i64 left = count - before, room = BLOCK - (start + before) % BLOCK, n = left < room ? left : room;
  struct strip found = {start + before, n < STRIP ? n : STRIP, before, count};
  return found;
}

/* sums.py, BlockSum */
struct sum { double total; i64 filled; double row[WIDE]; };

INLINE void close_block(struct sum *state) {
  for (i64 leaf = 0; leaf < NARROW; leaf++) {
    double found = state->row[leaf];
    for (i64 i = leaf + NARROW; i < WIDE; i += NARROW) found += state->row[i];
    state->total += found;
  }
  for (i64 i = 0; i < WIDE; i++) state->row[i] = 0.0;
  state->filled = 0;
}

#define ADD_UP(value)                                                                  \
  for (i64 done = 0; done < strip.n;) {                                                \
    double *restrict row = state->row + (strip.place + done) % WIDE;                   \
    i64 room = WIDE - (strip.place + done) % WIDE;                                     \
    i64 end = room < strip.n - done ? done + room : strip.n;                           \
    for (i64 i = done; i < end; i++) row[i - done] += value;                           \
    done = end;                                                                        \
  }                                                                                    \
  state->filled = strip.place % BLOCK + strip.n;                                       \
  if (state->filled == BLOCK) close_block(state);

INLINE void scan_sum(struct sum *restrict state, const float *restrict x, struct strip strip) {
  ADD_UP((double)x[i])
}

INLINE void scan_dot(struct sum *restrict state, const float *x, const float *y, struct strip strip) {
  ADD_UP((double)x[i] * (double)y[i])
}

/* sums.py, Count */
struct count { i64 count; };

INLINE void scan_count(struct count *restrict state, const float *restrict mask, struct strip strip) {
  i32 count = 0;
  for (i64 i = 0; i < strip.n; i++) count += mask[i] != 0.0f;
  state->count += count;
}

/* The bits of a magnitude; those of NaN differ between CPUs, and become those of infinity. */
INLINE i32 magnitude_of(float x) {
  i32 found = (i32)(bits(x) & 0x7fffffff);
  return found < 0x7f800000 ? found : 0x7f800000;
}

/* magnitude.py, MagnitudeHistogram: of each tile one part in so many. */
struct histogram { i32 *counts; i64 parts; };

INLINE void scan_magnitude_histogram(struct histogram *restrict state, const float *restrict x, struct strip strip) {
  i64 seen = (strip.count + state->parts - 1) / state->parts - strip.before;
  for (i64 i = 0; i < (seen < strip.n ? seen : strip.n); i++) state->counts[bits(x[i]) >> 16]++;
}

#define scan_magnitude_sample scan_magnitude_histogram

/* Eight marks of 0 or 1 as bits: the lowest is the first of them. */
INLINE u64 eight_marks(const u8 *marks) {
  u64 eight;
  __builtin_memcpy(&eight, marks, 8);
  if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) eight = __builtin_bswap64(eight);
  return eight * 0x0102040810204080u >> 56; /* the lowest bit of byte k becomes bit 56 + k */
}

/* Write which of the `n` marks of a strip are set, and return how many; there is room for FEW more. */
#define FEW 8

INLINE i32 set_marks(const u8 *marks, i32 n, i32 *found) {
  i32 count = 0;
  for (i32 at = 0; at < n; at += 64) {
    u64 rest = 0;
    for (i32 i = 0; i < 64; i += 8) rest |= eight_marks(marks + at + i) << i;
    const i32 set = __builtin_popcountll(rest);
    /* To write a few of them always is cheaper than to guess how many there are. */
    for (i32 i = 0; i < FEW; i++, rest &= rest - 1) found[count + i] = at + __builtin_ctzll(rest | 1ull << 63);
    for (i32 i = FEW; i < set; i++, rest &= rest - 1) found[count + i] = at + __builtin_ctzll(rest);
    count += set;
  }
  return count;
}

/* limit.py, MagnitudeLimit: in a bracket of patterns, or with a width of 0 by the upper bits as a histogram. */
struct limit { i64 low, width, above, within, nonfinite; i32 *counts; };

INLINE void scan_magnitude_limit(struct limit *restrict state, const float *restrict x, struct strip strip) {
  if (!state->width) {
    for (i64 i = 0; i < strip.n; i++) state->counts[bits(x[i]) >> 16]++;
    return;
  }
  const i32 low = (i32)state->low;
  const u32 width = (u32)state->width;
  u32 offset[STRIP];
  u8 marks[STRIP] = {0};
  i32 members[STRIP + FEW], above = 0, nonfinite = 0;
  APART for (i64 i = 0; i < strip.n; i++) {
    i32 magnitude = magnitude_of(x[i]);
    offset[i] = (u32)(magnitude - low);
    above += magnitude - low >= (i32)width;
    nonfinite += magnitude == 0x7f800000;
  }
  APART for (i64 i = 0; i < strip.n; i++) marks[i] = offset[i] < width;
  const i32 within = set_marks(marks, (i32)strip.n, members);
  for (i32 i = 0; i < within; i++) state->counts[offset[members[i]]]++;
  state->above += above;
  state->within += within;
  state->nonfinite += nonfinite;
}

/* threshold.py, Threshold: keeps what has these bits, of those the first `left`, or more. */
struct threshold { i64 bits, left; };

INLINE void scan_threshold(struct threshold *restrict state, float *restrict out, const float *restrict x,
                           struct strip strip) {
  const u32 limit = (u32)state->bits, kept = limit + (state->left == 0);
  i32 ties = 0;
  for (i64 i = 0; i < strip.n; i++) {
    u32 magnitude = magnitude_of(x[i]);
    ties += magnitude == limit;
    out[i] = magnitude >= kept ? x[i] : 0.0f;
  }
  if (state->left && ties > state->left)
    for (i64 i = 0, seen = 0; i < strip.n; i++)
      if (magnitude_of(x[i]) == limit && ++seen > state->left) out[i] = 0.0f;
  state->left -= ties < state->left ? ties : state->left;
}

/* packing.py: of eight elements the first has the highest bit. A strip may begin and end within a byte. */
struct packed { u8 *bits; };

INLINE void scan_packed_mask(struct packed *restrict state, const float *restrict mask, struct strip strip) {
  u8 marks[STRIP + 16] = {0}, *bits = state->bits + strip.place / 8;
  const i64 first = strip.place % 8, end = first + strip.n;
  for (i64 i = 0; i < strip.n; i++) marks[first + i] = mask[i] != 0.0f;
  for (i64 i = 0; i < end; i += 8) {
    u64 eight;
    __builtin_memcpy(&eight, marks + i, 8);
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) eight = __builtin_bswap64(eight);
    bits[i / 8] |= (u8)(eight * 0x8040201008040201u >> 56); /* the lowest bit of byte k becomes bit 63 - k */
  }
}

INLINE void scan_unpacked_mask(struct packed *restrict state, float *restrict out, struct strip strip) {
  u8 marks[STRIP + 16];
  const u8 *bits = state->bits + strip.place / 8;
  const i64 first = strip.place % 8, end = first + strip.n;
  for (i64 i = 0; i < end; i += 8) {
    u64 eight = bits[i / 8] * 0x0101010101010101u & 0x0102040810204080u;
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) eight = __builtin_bswap64(eight);
    __builtin_memcpy(marks + i, &eight, 8);
  }
  for (i64 i = 0; i < strip.n; i++) out[i] = marks[first + i] ? 1.0f : 0.0f;
}

/* matrix.py, SpreadRows */
struct rows { const float *values; i64 length; };

INLINE void scan_spread_rows(struct rows *restrict state, float *restrict out, struct strip strip) {
  i64 row = strip.place / state->length, end = (row + 1) * state->length - strip.place;
  for (i64 i = 0; i < strip.n; end += state->length, row++) {
    const float value = state->values[row];
    for (const i64 stop = end < strip.n ? end : strip.n; i < stop; i++) out[i] = value;
  }
}

/* matrix.py, ColumnDot: a sum for each of `length` columns. */
struct column_dot { double *found; i64 length; };

INLINE void scan_column_dot(struct column_dot *restrict state, const float *x, const float *y, struct strip strip) {
  i64 column = strip.place % state->length;
  for (i64 i = 0; i < strip.n; column = 0) {
    double *restrict found = state->found + column;
    i64 left = state->length - column, n = left < strip.n - i ? left : strip.n - i;
    for (i64 k = 0; k < n; k++) found[k] += (double)x[i + k] * (double)y[i + k];
    i += n;
  }
}

/* matrix.py, SpreadColumns */
struct columns { const float *values; i64 length; };

INLINE void scan_spread_columns(struct columns *restrict state, float *restrict out, struct strip strip) {
  i64 column = strip.place % state->length;
  for (i64 i = 0; i < strip.n; column = 0) {
    const float *restrict values = state->values + column;
    i64 left = state->length - column, n = left < strip.n - i ? left : strip.n - i;
    for (i64 k = 0; k < n; k++) out[i + k] = values[k];
    i += n;
  }
}
