// The plainest prefixMask: one invocation per element, the bytes one by one, no lengths first.
struct Params { size: u32, words: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> prefixes: array<u32>;
@group(0) @binding(4) var<storage, read> prefixOffsets: array<u32>;
@group(0) @binding(5) var<storage, read> logits: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn prefixMask(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.size) { return; }
  let q = i / params.words;
  let v = i % params.words;
  let from = offsets[v];
  let length = offsets[v + 1u] - from;
  let start = prefixOffsets[q];
  let wanted = prefixOffsets[q + 1u] - start;
  var fits = length > 0u && length >= wanted;
  for (var b = 0u; b < wanted; b++) {
    let x = (words[(from + b) / 4u] >> ((from + b) % 4u * 8u)) & 255u;
    let p = (prefixes[(start + b) / 4u] >> ((start + b) % 4u * 8u)) & 255u;
    fits = fits && x == p;
  }
  y[i] = select(0xff800000u, logits[i], fits);
}
