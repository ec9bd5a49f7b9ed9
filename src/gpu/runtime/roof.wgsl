// Kernels that do nothing but load the memory or the arithmetic units, to measure what an adapter can do at most.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 1u;              // elements per invocation

struct RoofParams {
  count: u32,     // elements
  repeat: u32,    // of fma*: rounds
}

@group(0) @binding(0) var<uniform> roof: RoofParams;
@group(0) @binding(1) var<storage, read_write> filled: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> copied: array<u32>;
@group(0) @binding(1) var<storage, read> source4: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> copied4: array<vec4u>;

/// Something to copy: pages that nobody wrote are all the same page, and zeros may be compressed.
@compute @workgroup_size(WORKGROUP_SIZE)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first = (linearGroup(group, groups) * WORKGROUP_SIZE + local) * PER;
  for (var i = first; i < min(first + PER, roof.count); i++) { filled[i] = (i ^ (i >> 15u)) * 2654435761u; }
}

/// Neighbouring invocations copy neighbouring words; each workgroup walks through a range of its own.
@compute @workgroup_size(WORKGROUP_SIZE)
fn copyWords(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER;
  let end = min(first + WORKGROUP_SIZE * PER, roof.count);
  for (var i = first + local; i < end; i += WORKGROUP_SIZE) { copied[i] = source[i]; }
}

/// The same with four words at a time.
@compute @workgroup_size(WORKGROUP_SIZE)
fn copyVectors(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER;
  let end = min(first + WORKGROUP_SIZE * PER, roof.count);
  for (var i = first + local; i < end; i += WORKGROUP_SIZE) { copied4[i] = source4[i]; }
}

/// One invocation copies a run of neighbouring vectors: with a workgroup of one, every address is uniform.
@compute @workgroup_size(WORKGROUP_SIZE)
fn copyRuns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let first = (linearGroup(group, groups) * WORKGROUP_SIZE + local) * PER;
  let end = min(first + PER, roof.count);
  for (var i = first; i < end; i++) { copied4[i] = source4[i]; }
}

@group(0) @binding(1) var<storage, read> factors: array<f32>;      // factor and addend
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

/// Eight independent chains of scalars, each of which waits for itself only.
@compute @workgroup_size(WORKGROUP_SIZE)
fn fmaScalars(@builtin(global_invocation_id) id: vec3u) {
  let m = factors[0];
  let c = factors[1];
  let x = f32(id.x & 7u);
  var a0 = x; var a1 = x + 1.0; var a2 = x + 2.0; var a3 = x + 3.0;
  var a4 = x + 4.0; var a5 = x + 5.0; var a6 = x + 6.0; var a7 = x + 7.0;
  for (var i = 0u; i < roof.repeat; i++) {
    a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
    a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
    a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
    a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
  }
  if (id.x < roof.count) { sums[id.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7; }
}

/// Two chains of vectors.
@compute @workgroup_size(WORKGROUP_SIZE)
fn fmaTwoVectors(@builtin(global_invocation_id) id: vec3u) {
  let m = vec4f(factors[0]);
  let c = vec4f(factors[1]);
  let x = vec4f(f32(id.x & 7u)) + vec4f(0.0, 1.0, 2.0, 3.0);
  var a0 = x; var a1 = x + 1.0;
  for (var i = 0u; i < roof.repeat; i++) {
    a0 = fma(a0, m, c); a1 = fma(a1, m, c);
    a0 = fma(a0, m, c); a1 = fma(a1, m, c);
    a0 = fma(a0, m, c); a1 = fma(a1, m, c);
    a0 = fma(a0, m, c); a1 = fma(a1, m, c);
  }
  let sum = a0 + a1;
  if (id.x < roof.count) { sums[id.x] = sum.x + sum.y + sum.z + sum.w; }
}

/// Eight chains of vectors.
@compute @workgroup_size(WORKGROUP_SIZE)
fn fmaEightVectors(@builtin(global_invocation_id) id: vec3u) {
  let m = vec4f(factors[0]);
  let c = vec4f(factors[1]);
  let x = vec4f(f32(id.x & 7u)) + vec4f(0.0, 1.0, 2.0, 3.0);
  var a0 = x; var a1 = x + 1.0; var a2 = x + 2.0; var a3 = x + 3.0;
  var a4 = x + 4.0; var a5 = x + 5.0; var a6 = x + 6.0; var a7 = x + 7.0;
  for (var i = 0u; i < roof.repeat; i++) {
    a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
    a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
  }
  let sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
  if (id.x < roof.count) { sums[id.x] = sum.x + sum.y + sum.z + sum.w; }
}

@compute @workgroup_size(1)
fn nothing() {
  // The layout has the parameters; a kernel that does not name them would have another one.
  _ = roof.count;
}
