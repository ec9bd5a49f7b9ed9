// lerp: y[i] = (1 - w) a[i] + w b[i], and its gradient. The gradient of the weight is one sum over everything: each
// invocation of `lerpBackward` writes the partial sum of its own elements, then a single invocation of `lerpWeight` adds
// the partial sums in order. No atomics: the same bits every time.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

struct Params { size: u32, partials: u32 }

@group(0) @binding(0) var<uniform> params: Params;

// Forward.
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn lerp(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let w = weight[0];
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) { y[i] = (1.0 - w) * a[i] + w * b[i]; }
  }
}

// Backward.
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> da: array<f32>;
@group(0) @binding(6) var<storage, read_write> db: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn lerpBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let w = weight[0];
  let id = linearGroup(group, groups);
  let first = id * WORKGROUP_SIZE * PER + local;
  var sum = 0.0;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let g = dy[i];
      da[i] = (1.0 - w) * g;
      db[i] = w * g;
      sum += g * (b[i] - a[i]);
    }
  }
  let slot = id * WORKGROUP_SIZE + local;
  if (slot < params.partials) { partials[slot] = sum; }
}

@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

/// Each invocation adds PER consecutive partial sums; the host repeats it until one is left.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lerpWeight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id * PER >= params.partials) { return; }
  var sum = 0.0;
  for (var j = id * PER; j < min(id * PER + PER, params.partials); j++) { sum += parts[j]; }
  sums[id] = sum;
}
