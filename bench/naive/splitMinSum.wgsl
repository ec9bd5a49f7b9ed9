// Naive splitMinSum: every a, and with it every b.

struct Params { size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> n: array<u32>;
@group(0) @binding(2) var<storage, read_write> aOut: array<u32>;
@group(0) @binding(3) var<storage, read_write> bOut: array<u32>;
@group(0) @binding(4) var<storage, read_write> cOut: array<u32>;
@group(0) @binding(5) var<storage, read_write> sumOut: array<u32>;

@compute @workgroup_size(64)
fn splitMinSum(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size) { return; }
  let whole = n[id.x];
  var best = vec4u(0u, 0u, whole, whole);
  for (var a = 1u; a * a <= whole; a++) {
    for (var b = a; a * b <= whole; b++) {
      let c = whole - a * b;
      let sum = a + b + c;
      if (sum < best.w || (sum == best.w && (best.x == 0u || a + b < best.x + best.y))) { best = vec4u(a, b, c, sum); }
    }
  }
  aOut[id.x] = best.x;
  bOut[id.x] = best.y;
  cOut[id.x] = best.z;
  sumOut[id.x] = best.w;
}
