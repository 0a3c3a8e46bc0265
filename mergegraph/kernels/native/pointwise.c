/* The kernels of pointwise.py for one element, each as `op_` and its name, with the same bits; any NaN stands
   for any other.

   Masks are 0.0f and 1.0f. To be compiled without contraction: a product and a sum are two roundings. */

typedef __INT64_TYPE__ i64;
typedef __UINT64_TYPE__ u64;
typedef __INT32_TYPE__ i32;
typedef __UINT32_TYPE__ u32;
typedef __UINT16_TYPE__ u16;
typedef __UINT8_TYPE__ u8;

#define INLINE static inline __attribute__((always_inline))

/* Before a loop in which no element depends on another. GCC gives up on wide ones where it must find that out. */
#ifdef __clang__
#define APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define APART _Pragma("GCC ivdep")
#endif

INLINE u32 bits(float x) { u32 y; __builtin_memcpy(&y, &x, 4); return y; }
INLINE float number(u32 x) { float y; __builtin_memcpy(&y, &x, 4); return y; }

INLINE float op_zeros(void) { return 0.0f; }
INLINE float op_add(float x, float y) { return x + y; }
INLINE float op_subtract(float x, float y) { return x - y; }
INLINE float op_multiply(float x, float y) { return x * y; }
INLINE float op_divide(float x, float y) { return x / y; }
INLINE float op_negate(float x) { return -x; }
INLINE float op_abs(float x) { return __builtin_fabsf(x); }
INLINE float op_sign(float x) { return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f); }
INLINE float op_sqrt(float x) { return __builtin_sqrtf(x); }
INLINE float op_majority(float x) { return x >= 0.0f ? 1.0f : -1.0f; }

INLINE float op_less(float x, float y) { return x < y ? 1.0f : 0.0f; }
INLINE float op_less_equal(float x, float y) { return x <= y ? 1.0f : 0.0f; }
INLINE float op_greater(float x, float y) { return x > y ? 1.0f : 0.0f; }
INLINE float op_greater_equal(float x, float y) { return x >= y ? 1.0f : 0.0f; }
INLINE float op_equal(float x, float y) { return x == y ? 1.0f : 0.0f; }
INLINE float op_not_equal(float x, float y) { return x != y ? 1.0f : 0.0f; }

INLINE float op_where(float mask, float x, float y) {
  i32 chosen = (i32)(0u - bits(mask)) >> 31;
  return number(bits(y) ^ ((bits(x) ^ bits(y)) & (u32)chosen));
}

/* By a number: a NaN of either side stays, a zero keeps the sign that it has in the tile. */
INLINE float op_min_number(float x, float high) { return high != high || x > high ? high : x; }
INLINE float op_max_number(float x, float low) { return low != low || x < low ? low : x; }

/* Of two tiles: a zero is positive. */
INLINE float op_min(float x, float y) { return (x < y || x != x ? x : y) + 0.0f; }
INLINE float op_max(float x, float y) { return (x > y || x != x ? x : y) + 0.0f; }

INLINE float op_clamp_numbers(float x, float low, float high) { return op_min_number(op_max_number(x, low), high); }
INLINE float op_clamp(float x, float low, float high) { return op_min(op_max(x, low), high); }

/* The random masks of random.py, in a strip that lies in one block: what its elements are hashed with and compared to. */
struct draw { u32 flipped, factor, limit, any; };

INLINE u64 splitmix(u64 z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

INLINE struct draw drawn(u64 key, u64 bound, i64 start) {
  u64 mixed = splitmix(splitmix(key) + ((u64)start / 65536 + 1) * 0x9e3779b97f4a7c15u);
  struct draw found = {(u32)mixed, (u32)(mixed >> 32) | 1, (u32)(bound - 1) ^ 0x80000000u, bound > 0};
  return found;
}

INLINE i32 hashed(struct draw draw, u32 place) {
  u32 hash = place ^ place >> 16;
  hash *= 0x7feb352du;
  hash ^= hash >> 15;
  hash *= 0x846ca68bu;
  hash ^= hash >> 16;
  u32 x = (((hash & 0xffff0000u) | place) ^ draw.flipped) * draw.factor;
  return (i32)((x ^ x >> 15) * 0x846ca68bu);
}

INLINE float op_random_mask(struct draw draw, u32 place) {
  return (hashed(draw, place) <= (i32)draw.limit) & draw.any ? 1.0f : 0.0f;
}

/* Casts go by way of float32. They round to nearest, ties to even; to a narrower type any NaN becomes the default one. */
INLINE float from_float32(float x) { return x; }
INLINE float from_float64(double x) { return x != x ? __builtin_nanf("") : (float)x; }
INLINE float from_bfloat16(u16 x) { return number((u32)x << 16); }

INLINE float from_float16(u16 x) {
  u32 size = (u32)(x & 0x7fff) << 13, exponent = size & 0x0f800000u;
  u32 normal = size + 0x38000000u, infinite = size | 0x7f800000u;
  float subnormal = number(size + 0x38800000u) - 0x1p-14f;
  u32 found = exponent == 0 ? bits(subnormal) : exponent == 0x0f800000u ? infinite : normal;
  return number(found | (u32)(x & 0x8000) << 16);
}

INLINE float to_float32(float x) { return x != x ? __builtin_nanf("") : x; }
INLINE double to_float64(float x) { return x; }

INLINE u16 to_bfloat16(float x) {
  u32 b = bits(x);
  return x != x ? 0x7fc0 : (u16)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

INLINE u16 to_float16(float x) {
  u32 size = bits(x) & 0x7fffffffu;
  u32 normal = (size - 0x38000000u + 0xfff + (size >> 13 & 1)) >> 13;
  u32 subnormal = bits(number(size) + 0.5f) - 0x3f000000u;
  u32 found = size < 0x38800000u ? subnormal : size < 0x47800000u ? normal : 0x7c00u;
  return x != x ? 0x7e00 : (u16)(found | (bits(x) >> 16 & 0x8000));
}
