// Naive k-means with squared distances: one invocation per point finds its centroid, one per coordinate of a centroid
// walks over all points for the mean, one per centroid counts, and a single one adds up the inertia.

struct Params { n: u32, d: u32, k: u32, step: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> centroids: array<f32>;
@group(0) @binding(3) var<storage, read_write> chosen: array<i32>;
@group(0) @binding(4) var<storage, read_write> distances: array<f32>;

@group(0) @binding(2) var<storage, read> assignments: array<i32>;
@group(0) @binding(3) var<storage, read_write> moved: array<f32>;
@group(0) @binding(1) var<storage, read> assigned: array<i32>;
@group(0) @binding(2) var<storage, read_write> counts: array<i32>;
@group(0) @binding(1) var<storage, read> terms: array<f32>;
@group(0) @binding(2) var<storage, read_write> inertia: array<f32>;

@compute @workgroup_size(64)
fn nearest(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.n) { return; }
  var best = 3.4e38;
  var index = 0;
  for (var c = 0u; c < params.k; c++) {
    var sum = 0.0;
    for (var j = 0u; j < params.d; j++) {
      let difference = points[id.x * params.d + j] - centroids[c * params.d + j];
      sum += difference * difference;
    }
    if (sum < best) {
      best = sum;
      index = i32(c);
    }
  }
  chosen[id.x] = index;
  distances[id.x] = best;
}

@compute @workgroup_size(64)
fn means(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x / params.d;
  let j = id.x % params.d;
  if (c >= params.k) { return; }
  var sum = 0.0;
  var count = 0.0;
  for (var i = 0u; i < params.n; i++) {
    if (assignments[i] == i32(c)) {
      sum += points[i * params.d + j];
      count += 1.0;
    }
  }
  if (count > 0.0) { moved[id.x] = sum / count; }
}

@compute @workgroup_size(64)
fn count(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.k) { return; }
  var found = 0;
  for (var i = 0u; i < params.n; i++) { if (assigned[i] == i32(id.x)) { found++; } }
  counts[id.x] = found;
}

@compute @workgroup_size(1)
fn addUp() {
  var sum = 0.0;
  for (var i = 0u; i < params.n; i++) { sum += terms[i]; }
  inertia[params.step] = sum;
}
