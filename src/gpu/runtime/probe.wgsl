// Questions to the arithmetic of a device: which rounding, fused or not, what becomes of subnormals, zeros and NaN, and
// does the compiler rearrange sums. The host knows every answer; all operands come from buffers, so that nothing can be
// computed while compiling.

struct ProbeParams { count: u32 }

@group(0) @binding(0) var<uniform> probe: ProbeParams;

@group(0) @binding(1) var<storage, read> operands: array<vec3f>;
@group(0) @binding(2) var<storage, read_write> results: array<u32>;

/// Five results for each triple (x, y, z).
@compute @workgroup_size(64)
fn probeRounding(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= probe.count) { return; }
  let v = operands[i];
  results[i * 5u] = bitcast<u32>(v.x + v.y);
  results[i * 5u + 1u] = bitcast<u32>(v.x * v.y);
  results[i * 5u + 2u] = bitcast<u32>(v.x / v.y);
  results[i * 5u + 3u] = bitcast<u32>(fma(v.x, v.y, v.z));
  results[i * 5u + 4u] = bitcast<u32>(v.x * v.y + v.z);
}

@group(0) @binding(1) var<storage, read> words: array<u32>;

fn special(i: u32) -> f32 { return bitcast<f32>(words[i]); }

/// One result per question; `probe.ts` lists operands and questions in the same order.
@compute @workgroup_size(1)
fn probeSpecial() {
  let one = special(0u);
  let half = special(1u);
  let negativeZero = special(2u);
  let smallestNormal = special(3u);
  let subnormal = special(4u);
  let huge = special(5u);
  let nan = special(6u);
  let infinity = special(7u);
  let tiny = special(8u);
  let third = special(9u);
  results[0] = bitcast<u32>(subnormal * one);
  results[1] = bitcast<u32>(smallestNormal * half);
  results[2] = bitcast<u32>(negativeZero);
  results[3] = bitcast<u32>(negativeZero * one);
  results[4] = bitcast<u32>(huge * huge);
  results[5] = bitcast<u32>(infinity + one);
  results[6] = bitcast<u32>(nan);
  results[7] = bitcast<u32>(nan + one);
  results[8] = bitcast<u32>(max(nan, one));
  results[9] = select(0u, 1u, nan != nan);
  results[10] = bitcast<u32>((tiny + one) - one);
  results[11] = bitcast<u32>((tiny + 1.0) - 1.0);
  results[12] = bitcast<u32>((third * huge) / huge);
  results[13] = bitcast<u32>(one + 0.0 * nan);
}
