/* Reductions and scans of tiles of whole rows, each as `scan_` and its name; they do what the kernels of rows.py and
   ranked.py do. A strip is a tile here. Rows are `length` elements. */

double log(double);

/* numpy's sum of contiguous numbers: eight at a time, and halves of what is longer than 128. */
#define PAIRWISE(name, type, value)                                                                  \
  __attribute__((noinline)) static double name(const type *x, const type *y, i64 n) {                                          \
    double found[8];                                                                                 \
    if (n < 8) {                                                                                     \
      double few = 0.0;                                                                              \
      for (i64 i = 0; i < n; i++) few += value;                                                      \
      return few;                                                                                    \
    }                                                                                                \
    if (n > 128) {                                                                                   \
      i64 half = n / 2 - n / 2 % 8;                                                                  \
      return name(x, y, half) + name(x + half, y + half, n - half);                                  \
    }                                                                                                \
    for (i64 i = 0; i < 8; i++) found[i] = value;                                                    \
    i64 end = n - n % 8;                                                                             \
    for (i64 at = 8; at < end; at += 8)                                                              \
      for (i64 j = 0; j < 8; j++) { i64 i = at + j; found[j] += value; }                             \
    double total = ((found[0] + found[1]) + (found[2] + found[3])) + ((found[4] + found[5]) + (found[6] + found[7])); \
    for (i64 i = end; i < n; i++) total += value;                                                    \
    return total;                                                                                    \
  }                                                                                                  \
  static double name##_of_blocks(const type *x, const type *y, i64 n) {                              \
    double total = 0.0;                                                                              \
    for (i64 at = 0; at < n; at += BLOCK) total += name(x + at, y + at, n - at < BLOCK ? n - at : BLOCK); \
    return total;                                                                                    \
  }

PAIRWISE(sum, float, (double)x[i])
PAIRWISE(dot, float, (double)x[i] * (double)y[i])
PAIRWISE(wide_sum, double, x[i])
PAIRWISE(wide_dot, double, x[i] * y[i])

/* RowDot */
struct row_dot { double *found; i64 length; };

static void scan_row_dot(struct row_dot *state, const float *x, const float *y, struct strip strip) {
  const i64 length = state->length, first = strip.place / length;
  for (i64 at = 0; at < strip.n; at += length)
    state->found[first + at / length] = dot_of_blocks(x + at, y + at, length);
}

/* RankedMask */
struct ranked { i64 low, high, factor, first, length; u64 key; };

static void scan_ranked_mask(struct ranked *state, float *restrict out, const float *restrict x, struct strip strip) {
  const i32 low = (i32)state->low, high = (i32)state->high;
  const i64 length = state->length;
  for (i64 at = 0; at < strip.n;) {
    struct strip part = cut(strip.place, at, strip.n);
    const struct draw draw = drawn(state->key, 0, part.place);
    const u32 within = part.place % BLOCK;
    i32 hashes[STRIP], undecided[STRIP + FEW];
    u8 open[STRIP] = {0};
    for (i64 i = 0; i < part.n; i++) {
      hashes[i] = hashed(draw, within + (u32)i);
      out[at + i] = hashes[i] < low ? 1.0f : 0.0f;
    }
    for (i64 i = 0; i < part.n; i++) open[i] = (hashes[i] >= low) & (hashes[i] < high);
    const i32 count = set_marks(open, (i32)part.n, undecided);
    i64 end = at / length * length + length;
    for (i32 k = 0; k < count; k++) {
      i64 here = at + undecided[k];
      while (here >= end) end += length; /* a division for each would take a fifth of the time */
      i64 other = here + ((i64)((u64)hashes[undecided[k]] * (u64)state->factor + (u64)state->first) >> 32);
      i32 around = other >= end;
      other -= -(i64)around & length;
      out[here] = (float)(magnitude_of(x[here]) > magnitude_of(x[other]) - around);
    }
    at += part.n;
  }
}

/* RowDivergences; `narrow` has room for three rows of float32, `wide` for four of float64. */
struct divergences { double *found; float *narrow; double *wide; i64 length; };

#define COLUMNS 256

static double averaged_sum(const float *x, i64 length) {
  float columns[COLUMNS];
  if (length % COLUMNS) return sum_of_blocks(x, x, length);
  for (i64 i = 0; i < COLUMNS; i++) columns[i] = x[i];
  for (i64 at = COLUMNS; at < length; at += COLUMNS)
    for (i64 i = 0; i < COLUMNS; i++) columns[i] += x[at + i];
  return sum(columns, columns, COLUMNS);
}

static const double reciprocals[] = {
  1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
  1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
};

/* exponential.py, series */
#define SERIES(type)                                                                       \
  INLINE type series_##type(type x, i32 first, i32 last) {                                 \
    type found = x * (type)reciprocals[last];                                              \
    for (i32 k = last - 1; k > first; k--) found = (found + (type)reciprocals[k]) * x;     \
    return found + (type)reciprocals[first];                                               \
  }

SERIES(float)
SERIES(double)

/* exponential.py, exponential */
INLINE float exponential_float(float x) {
  x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float n = __builtin_rintf(x * (float)1.4426950408889634);
  x = x - n * (float)0.693359375;
  x = x - n * (float)-2.12194440e-4;
  return series_float(x, 0, 6) * number((u32)((i32)n + 127) << 23);
}

INLINE double exponential_double(double x) {
  x = x < -708.0 ? -708.0 : x > 709.0 ? 709.0 : x;
  double n = __builtin_rint(x * 1.4426950408889634), scale;
  x = x - n * 0.6931471803691238;
  x = x - n * 1.9082149292705877e-10;
  u64 power = (u64)((i64)n + 1023) << 52;
  __builtin_memcpy(&scale, &power, 8);
  return series_double(x, 0, 13) * scale;
}

/* A whole number that orders as the float does, beyond the infinities NaN; and back. */
INLINE i32 ordered(float x) { i32 y = (i32)bits(x); return y ^ (y >> 31 & 0x7fffffff); }
INLINE float disordered(i32 y) { return number((u32)(y ^ (y >> 31 & 0x7fffffff))); }

/* The largest and the smallest of a row; NaN if there is one. */
INLINE void extremes(const float *x, i64 length, float *most, float *least) {
  const i32 infinity = 0x7f800000;
  i32 high = ordered(x[0]), low = high;
  for (i64 i = 0; i < length; i++) {
    i32 value = ordered(x[i]);
    high = value > high ? value : high;
    low = value < low ? value : low;
  }
  const i32 nan = high > infinity || low < ~infinity;
  *most = nan ? __builtin_nanf("") : disordered(high);
  *least = nan ? __builtin_nanf("") : disordered(low);
}

#define WRITE_SERIES(out, x, first, last) \
  for (i64 i = 0; i < length; i++) out[i] = series_float(x[i], first, last);

/* rows.py, _softmax_weights */
__attribute__((noinline)) static void softmax_weights(const float *a, float *restrict out, float *restrict x, i64 length) {
  float top, low;
  extremes(a, length, &top, &low);
  const float width = top - low, middle = (top + low) / 2.0f;
  if (!(width <= 0.6f)) {
    for (i64 i = 0; i < length; i++) out[i] = exponential_float(a[i] - top);
    return;
  }
  for (i64 i = 0; i < length; i++) x[i] = a[i] - middle;
  if (width <= 0.2f) WRITE_SERIES(out, x, 0, 4) else WRITE_SERIES(out, x, 0, 6)
}

/* rows.py, _far: of few rows, and not worth the time to make it fast. */
__attribute__((cold, noinline)) static double far(const float *a, const float *b, double *room, i64 length) {
  double *logarithm = room, *apart = logarithm + length, *weights = apart + length, *terms = weights + length;
  float top, low;
  extremes(a, length, &top, &low);
  for (i64 i = 0; i < length; i++) {
    apart[i] = (double)a[i] - (double)b[i];
    logarithm[i] = (double)a[i] - (double)top;
    terms[i] = exponential_double(logarithm[i]);
  }
  const double total = log(wide_sum_of_blocks(terms, terms, length));
  for (i64 i = 0; i < length; i++) {
    logarithm[i] -= total;
    weights[i] = exponential_double(logarithm[i]);
  }
  const double mean = wide_dot_of_blocks(weights, apart, length);
  for (i64 i = 0; i < length; i++) {
    double x = apart[i] - mean;
    terms[i] = exponential_double(logarithm[i] - x) - weights[i] * (1.0 - x);
  }
  const double found = wide_sum_of_blocks(terms, terms, length);
  return found < 0.0 ? 0.0 : found;
}

/* rows.py, _near: NaN where a row is more than 1 apart. */
static double near(const float *a, const float *b, float *room, i64 length) {
  float *restrict weights = room, *restrict shift = room + length, *restrict rest = room + 2 * length, most, least;
  softmax_weights(a, weights, shift, length);
  const double total = averaged_sum(weights, length);
  for (i64 i = 0; i < length; i++) {
    shift[i] = b[i] - a[i];
    rest[i] = weights[i] * shift[i];
  }
  const float mean = (float)(averaged_sum(rest, length) / total);
  for (i64 i = 0; i < length; i++) shift[i] -= mean;
  extremes(shift, length, &most, &least);
  const float apart = most > -least ? most : -least;
  if (!(apart <= 1.0f)) return __builtin_nan("");
  if (apart <= 1.0f / 64) WRITE_SERIES(rest, shift, 2, 4)
  else if (apart <= 1.0f / 16) WRITE_SERIES(rest, shift, 2, 5)
  else WRITE_SERIES(rest, shift, 2, 10)
  for (i64 i = 0; i < length; i++) rest[i] = rest[i] * shift[i] * shift[i] * weights[i];
  return averaged_sum(rest, length) / total;
}

static void scan_row_divergences(struct divergences *state, const float *a, const float *b, struct strip strip) {
  const i64 length = state->length, first = strip.place / length;
  for (i64 at = 0; at < strip.n; at += length) {
    double found = near(a + at, b + at, state->narrow, length);
    state->found[first + at / length] = found == found ? found : far(a + at, b + at, state->wide, length);
  }
}
