enable subgroups;
// matmul on CPU adapters: y = a b + bias, from panels that `matmulPack` made (matmul.wgsl).
//
// One workgroup is one subgroup. It owns 16 rows and 4 * LANES columns of y: a lane keeps 4 columns of all 16 rows in
// registers. Per 4 steps of k it reads 16 texels of a (each lane some rows) and 4 * LANES texels of b (each lane its own
// columns), and multiplies each value of a with a row of b after broadcasting it from the lane that read it. So every
// value is loaded once per workgroup, by one lane: on a software driver a load costs as much as some ten multiply-adds
// for the whole subgroup, whether its address is uniform or not. No barrier, no workgroup memory.
//
// Every element of y is the same sequence of operations on its row of a and its column of b, in the order of k: it does
// not depend on the other rows, nor on the batch.
// @uses lib/panels.wgsl
// @uses lib/grid.wgsl

override LANES: u32 = 8u;   // the subgroup size of the adapter: 4, 8, 16 or 32

struct Params {
  m: u32,
  n: u32,
  steps: u32,          // k / 4, rounded up: panels are padded with zeros
  rowPanels: u32,      // m / 16, rounded up
  columnPanels: u32,   // n / (4 * LANES), rounded up
  batch: u32,
  hasBias: u32,
  accumulate: u32,     // 1: add to what y holds
  aBits: u32,          // widths of the panels' textures
  bBits: u32,
  unused0: u32,
  unused1: u32,
  sizes: vec4u,        // the batch index as up to four digits, and how far each moves in a and in b
  aStrides: vec4u,
  bStrides: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var aPanels: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var bPanels: texture_storage_2d<rgba32float, read>;

fn aTexel(i: u32) -> vec4f { return textureLoad(aPanels, texelAt(i, params.aBits)); }
fn bTexel(i: u32) -> vec4f { return textureLoad(bPanels, texelAt(i, params.bBits)); }

/// Row r of a panel (its values at 4 steps of k), from the lane that read it.
fn rowOf(read: array<vec4f, 4>, r: u32) -> vec4f {
  return subgroupShuffle(read[r / LANES], r % LANES);
}

/// sum + a b for one row of a and four rows of b, in the order of k.
fn advance(sum: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

/// 16 rows and this lane's 4 columns of a product of two panels.
fn multiply(aFirst: u32, bFirst: u32, lane: u32) -> array<vec4f, 16> {
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
  var s8 = vec4f();
  var s9 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  var s14 = vec4f();
  var s15 = vec4f();
  var at = aFirst + min(lane, PANEL_ROWS - 1u);
  var bt = bFirst + lane;
  for (var step = 0u; step < params.steps; step++) {
    let a0 = aTexel(at);
    var a1 = a0;
    var a2 = a0;
    var a3 = a0;
    if (LANES < 16u) { a1 = aTexel(at + LANES); }
    if (LANES < 8u) {
      a2 = aTexel(at + 2u * LANES);
      a3 = aTexel(at + 3u * LANES);
    }
    let a = array<vec4f, 4>(a0, a1, a2, a3);
    let b = mat4x4f(bTexel(bt), bTexel(bt + LANES), bTexel(bt + 2u * LANES), bTexel(bt + 3u * LANES));
    s0 = advance(s0, rowOf(a, 0u), b);
    s1 = advance(s1, rowOf(a, 1u), b);
    s2 = advance(s2, rowOf(a, 2u), b);
    s3 = advance(s3, rowOf(a, 3u), b);
    s4 = advance(s4, rowOf(a, 4u), b);
    s5 = advance(s5, rowOf(a, 5u), b);
    s6 = advance(s6, rowOf(a, 6u), b);
    s7 = advance(s7, rowOf(a, 7u), b);
    s8 = advance(s8, rowOf(a, 8u), b);
    s9 = advance(s9, rowOf(a, 9u), b);
    s10 = advance(s10, rowOf(a, 10u), b);
    s11 = advance(s11, rowOf(a, 11u), b);
    s12 = advance(s12, rowOf(a, 12u), b);
    s13 = advance(s13, rowOf(a, 13u), b);
    s14 = advance(s14, rowOf(a, 14u), b);
    s15 = advance(s15, rowOf(a, 15u), b);
    at += PANEL_ROWS;
    bt += 4u * LANES;
  }
  return array<vec4f, 16>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
}

/// The matrix that a batch index selects, given how far each of its digits moves.
fn itemOf(batchIndex: u32, strides: vec4u) -> u32 {
  let w = batchIndex % params.sizes.w;
  let upToZ = batchIndex / params.sizes.w;
  let z = upToZ % params.sizes.z;
  let upToY = upToZ / params.sizes.z;
  let digits = vec4u(upToY / params.sizes.y, upToY % params.sizes.y, z, w);
  let moved = digits * strides;
  return moved.x + moved.y + moved.z + moved.w;
}

@compute @workgroup_size(LANES)
fn matmulPanels(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(subgroup_invocation_id) lane: u32) {
  let id = linearGroup(group, groups);
  let columnPanel = id % params.columnPanels;
  let rowPanel = id / params.columnPanels % params.rowPanels;
  let batchIndex = id / params.columnPanels / params.rowPanels;
  if (batchIndex >= params.batch) { return; }   // the same for the whole workgroup
  let aPanel = itemOf(batchIndex, params.aStrides) * params.rowPanels + rowPanel;
  let bPanel = itemOf(batchIndex, params.bStrides) * params.columnPanels + columnPanel;
  var tile = multiply(aPanel * params.steps * PANEL_ROWS, bPanel * params.steps * 4u * LANES, lane);

  let column = (columnPanel * LANES + lane) * 4u;
  var shift = vec4f();
  if (params.hasBias != 0u) {
    for (var c = 0u; c < 4u; c++) {
      if (column + c < params.n) { shift[c] = bias[column + c]; }
    }
  }
  // The number of rows is not known to the compiler, so this stays a loop: unrolled, it would be most of the kernel.
  let first = rowPanel * PANEL_ROWS;
  let rows = min(PANEL_ROWS, params.m - first);
  for (var r = 0u; r < rows; r++) {
    let sum = tile[r] + shift;
    let out = (batchIndex * params.m + first + r) * params.n + column;
    for (var c = 0u; c < 4u; c++) {
      if (column + c < params.n) {
        var value = sum[c];
        if (params.accumulate != 0u) { value += y[out + c]; }
        y[out + c] = value;
      }
    }
  }
}
