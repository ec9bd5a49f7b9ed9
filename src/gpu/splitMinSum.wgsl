// splitMinSum: n = ab + c with the least a + b + c, by trying every a up to the root of n. For a > 1 only the largest b counts:
// one less costs a - 1 more. a = 1 never beats (0, 0, n), where the search starts.
//
// Every step is integer arithmetic. Its twin does the same in the fourth root of n steps; that they agree is the point.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

struct Params { size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> n: array<u32>;
@group(0) @binding(2) var<storage, read_write> aOut: array<u32>;
@group(0) @binding(3) var<storage, read_write> bOut: array<u32>;
@group(0) @binding(4) var<storage, read_write> cOut: array<u32>;
@group(0) @binding(5) var<storage, read_write> sumOut: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn splitMinSum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i >= params.size) { break; }
    let whole = n[i];
    var best = vec4u(0u, 0u, whole, whole);   // a, b, c, sum
    // a <= 65535 = floor(sqrt(2^32 - 1)), so a * a fits.
    for (var a = 2u; a <= 65535u && a * a <= whole; a++) {
      let b = whole / a;
      let c = whole - a * b;
      let sum = a + b + c;
      // Of equals the one with the least a + b: a later a has a smaller b. Any product is as good as none.
      if (sum < best.w || (sum == best.w && (best.x == 0u || a + b < best.x + best.y))) { best = vec4u(a, b, c, sum); }
    }
    aOut[i] = best.x;
    bOut[i] = best.y;
    cOut[i] = best.z;
    sumOut[i] = best.w;
  }
}
