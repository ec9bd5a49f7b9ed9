// Naive Threefry-2x32 with 20 rounds: one invocation per word, the rounds in a loop. bits[i] is the xor of the two words
// of block i; the Gumbel noise made of them is two f32 logarithms, whose upper tail is cut off and rough.

struct Params { count: u32, key0: u32, key1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> bits: array<u32>;

@group(0) @binding(1) var<storage, read_write> noise: array<f32>;

fn block(i: u32) -> u32 {
  let keys = array<u32, 3>(params.key0, params.key1, params.key0 ^ params.key1 ^ 0x1bd11bdau);
  let rotations = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
  var a = keys[0];
  var b = i + keys[1];
  for (var round = 0u; round < 20u; round++) {
    let r = rotations[round % 8u];
    a += b;
    b = ((b << r) | (b >> (32u - r))) ^ a;
    if (round % 4u == 3u) {
      let group = round / 4u + 1u;
      a += keys[group % 3u];
      b += keys[(group + 1u) % 3u] + group;
    }
  }
  return a ^ b;
}

@compute @workgroup_size(64)
fn randomBits(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.count) { bits[i] = block(i); }
}

@compute @workgroup_size(64)
fn gumbelNoise(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) { return; }
  let u = (f32(block(i) >> 9u) + 0.5) / 8388608.0;
  noise[i] = -log(-log(u));
}
