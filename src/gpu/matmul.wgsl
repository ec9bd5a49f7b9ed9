// matmul: y[item, m, n] = bias[n] + sum over k of a[item, m, k] * b[item, k, n], batched, with transposes by strides.
//
// `matmulTiles` is for GPUs: a workgroup owns a tile of y, copies tiles of a and b to workgroup memory TILE_K steps of k at
// a time, and each invocation multiplies 8 rows with 8 columns out of registers. `matmulRows` is for everything else: no
// workgroup memory, no barriers, 4 rows and 4 columns per invocation. `matmulPack` prepares the panels that the kernel for
// CPU adapters with subgroups reads (matmul.subgroups.wgsl). `matmulSum` sums the rows of a matrix.
//
// In each kernel an element of y is one sum in the order of k, with the bias added last: it does not depend on the other
// rows, nor on the batch, nor on the size of the tile.
// Source: the classic blocked product; register tiles as in S. Boehm, How to Optimize a CUDA Matmul Kernel (2022).
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;   // invocations per workgroup of all entry points but matmulTiles
override TILE_X: u32 = 8u;            // matmulTiles: invocations along n; the tile is 8 * TILE_X columns wide
override TILE_Y: u32 = 8u;            // and along m; TILE_X * TILE_Y is 1..256
override TILE_K: u32 = 16u;           // steps of k per tile, a multiple of 4; 32 * TILE_K * (TILE_X + TILE_Y) bytes fit

struct Params {
  m: u32,
  n: u32,
  k: u32,
  batch: u32,
  aRow: u32,         // how far one step along m, k moves in a, and one along k, n in b
  aStep: u32,
  bStep: u32,
  bColumn: u32,
  hasBias: u32,
  accumulate: u32,   // 1: add to what y holds
  unused0: u32,
  unused1: u32,
  sizes: vec4u,      // the batch index as up to four digits, and how many matrices each moves in a and in b
  aStrides: vec4u,
  bStrides: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

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

/// Up to four neighbouring elements of y. A loop whose length the compiler cannot know: unrolled, the stores would be
/// most of the kernel.
fn store(batchIndex: u32, row: u32, column: u32, four: vec4f) {
  if (row >= params.m) { return; }
  for (var c = column; c < min(column + 4u, params.n); c++) {
    var value = four[c - column];
    if (params.hasBias != 0u) { value += bias[c]; }
    let at = (batchIndex * params.m + row) * params.n + c;
    if (params.accumulate != 0u) { value += y[at]; }
    y[at] = value;
  }
}

// --- GPUs: tiles in workgroup memory. ---

// Both tiles are stored by steps of k: [TILE_K][rows / 4] and [TILE_K][columns / 4].
var<workgroup> aTile: array<vec4f, TILE_K * TILE_Y * 2u>;
var<workgroup> bTile: array<vec4f, TILE_K * TILE_X * 2u>;

/// Four rows of a at one step of k; zero outside, so that no later step needs to know the edges. Without branches: the
/// loads are then all under way at once.
fn fourRows(first: u32, row: u32, step: u32) -> vec4f {
  let rows = vec4u(row, row + 1u, row + 2u, row + 3u);
  let inside = rows < vec4u(select(0u, params.m, step < params.k));
  let at = select(vec4u(), first + step * params.aStep + rows * params.aRow, inside);
  return select(vec4f(), vec4f(a[at.x], a[at.y], a[at.z], a[at.w]), inside);
}

/// Four columns of b at one step of k; zero outside.
fn fourColumns(first: u32, column: u32, step: u32) -> vec4f {
  let columns = vec4u(column, column + 1u, column + 2u, column + 3u);
  let inside = columns < vec4u(select(0u, params.n, step < params.k));
  let at = select(vec4u(), first + step * params.bStep + columns * params.bColumn, inside);
  return select(vec4f(), vec4f(b[at.x], b[at.y], b[at.z], b[at.w]), inside);
}

@compute @workgroup_size(TILE_X, TILE_Y)
fn matmulTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let across = (params.n + 8u * TILE_X - 1u) / (8u * TILE_X);
  let down = (params.m + 8u * TILE_Y - 1u) / (8u * TILE_Y);
  let id = linearGroup(group, groups);
  let batchIndex = id / across / down;
  if (batchIndex >= params.batch) { return; }   // the same for the whole workgroup
  let row = id / across % down * 8u * TILE_Y;
  let column = id % across * 8u * TILE_X;
  let aFirst = itemOf(batchIndex, params.aStrides) * params.m * params.k;
  let bFirst = itemOf(batchIndex, params.bStrides) * params.k * params.n;

  // 8 rows of 8 columns: rows r of the left four columns in left[r], of the right four in right[r].
  var left: array<vec4f, 8>;
  var right: array<vec4f, 8>;
  for (var start = 0u; start < params.k; start += TILE_K) {
    // Neighbouring invocations take neighbouring addresses: steps of k where k is contiguous, else rows or columns.
    for (var i = index; i < TILE_K * TILE_Y * 2u; i += TILE_X * TILE_Y) {
      var at = vec2u(i / (TILE_Y * 2u), i % (TILE_Y * 2u));
      if (params.aStep == 1u) { at = vec2u(i % TILE_K, i / TILE_K); }
      aTile[at.x * TILE_Y * 2u + at.y] = fourRows(aFirst, row + 4u * at.y, start + at.x);
    }
    for (var i = index; i < TILE_K * TILE_X * 2u; i += TILE_X * TILE_Y) {
      var at = vec2u(i / (TILE_X * 2u), i % (TILE_X * 2u));
      if (params.bStep == 1u) { at = vec2u(i % TILE_K, i / TILE_K); }
      bTile[at.x * TILE_X * 2u + at.y] = fourColumns(bFirst, column + 4u * at.y, start + at.x);
    }
    workgroupBarrier();   // the tiles are complete
    for (var step = 0u; step < TILE_K; step++) {
      let above = aTile[step * TILE_Y * 2u + local.y];
      let below = aTile[step * TILE_Y * 2u + TILE_Y + local.y];
      let l = bTile[step * TILE_X * 2u + local.x];
      let r = bTile[step * TILE_X * 2u + TILE_X + local.x];
      for (var i = 0u; i < 4u; i++) {
        left[i] = fma(vec4f(above[i]), l, left[i]);
        right[i] = fma(vec4f(above[i]), r, right[i]);
        left[i + 4u] = fma(vec4f(below[i]), l, left[i + 4u]);
        right[i + 4u] = fma(vec4f(below[i]), r, right[i + 4u]);
      }
    }
    workgroupBarrier();   // nobody reads the tiles any more
  }
  // An invocation's rows and columns are two groups of four, so that neighbours read neighbouring vectors of the tiles.
  for (var i = 0u; i < 8u; i++) {
    let r = row + 4u * (local.y + TILE_Y * (i / 4u)) + i % 4u;
    let c = column + 4u * local.x;
    store(batchIndex, r, c, left[i]);
    store(batchIndex, r, c + 4u * TILE_X, right[i]);
  }
}

// --- Any adapter: registers only. ---

@compute @workgroup_size(WORKGROUP_SIZE)
fn matmulRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let across = (params.n + 4u * WORKGROUP_SIZE - 1u) / (4u * WORKGROUP_SIZE);
  let down = (params.m + 3u) / 4u;
  let id = linearGroup(group, groups);
  let batchIndex = id / across / down;
  if (batchIndex >= params.batch) { return; }
  let row = id / across % down * 4u;
  let column = (id % across * WORKGROUP_SIZE + local) * 4u;
  // Past the edge the last row or column is computed again, and not stored.
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(params.m - 1u));
  let columns = min(vec4u(column, column + 1u, column + 2u, column + 3u), vec4u(params.n - 1u));
  var at = itemOf(batchIndex, params.aStrides) * params.m * params.k + rows * params.aRow;
  var bt = itemOf(batchIndex, params.bStrides) * params.k * params.n + columns * params.bColumn;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var step = 0u; step < params.k; step++) {
    let v = vec4f(b[bt.x], b[bt.y], b[bt.z], b[bt.w]);
    s0 += a[at.x] * v;
    s1 += a[at.y] * v;
    s2 += a[at.z] * v;
    s3 += a[at.w] * v;
    at += vec4u(params.aStep);
    bt += vec4u(params.bStep);
  }
  store(batchIndex, row, column, s0);
  store(batchIndex, row + 1u, column, s1);
  store(batchIndex, row + 2u, column, s2);
  store(batchIndex, row + 3u, column, s3);
}

// --- Panels for matmul.subgroups.wgsl: a workgroup owns some texels of one panel. ---
// Panels are numbered along y and z of the grid and their widths are powers of two, because a division costs a software
// driver as much as several loads.

struct Packing {
  rows: u32,         // of one matrix; the vec4f of a panel run along its columns
  columns: u32,
  rowStride: u32,
  columnStride: u32,
  itemStride: u32,
  panels: u32,       // per matrix
  allPanels: u32,
  depth: u32,        // texels per panel and unit of its width
  widthBits: u32,    // log2 of the width of a panel in texels
  byRows: u32,       // 1: the panel is `width` rows, from column 0 to the end (left factor); 0: 4 * width columns, from row 0
}

@group(0) @binding(0) var<uniform> packing: Packing;
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(1) var<storage, read> matrix4: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> panels: array<vec4f>;

/// Where the texel `along` and `across` in a panel comes from.
struct Source { valid: bool, row: u32, column: u32, first: u32 }

fn sourceOf(panel: u32, across: u32, along: u32) -> Source {
  let item = panel / packing.panels;
  let place = ((panel - item * packing.panels) << packing.widthBits) + across;
  let byRows = packing.byRows != 0u;
  let row = select(along, place, byRows);
  let column = 4u * select(place, along, byRows);
  return Source(row < packing.rows && column < packing.columns, row, column, item * packing.itemStride);
}

/// The texel of any matrix.
@compute @workgroup_size(WORKGROUP_SIZE)
fn matmulPack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let at = group.x * WORKGROUP_SIZE + local;
  let panel = group.y + group.z * groups.y;
  let along = at >> packing.widthBits;
  if (panel >= packing.allPanels || along >= packing.depth) { return; }
  let source = sourceOf(panel, at & ((1u << packing.widthBits) - 1u), along);
  let first = source.first + source.row * packing.rowStride;
  var texel = vec4f();
  for (var j = 0u; j < 4u; j++) {
    if (source.valid && source.column + j < packing.columns) {
      texel[j] = matrix[first + (source.column + j) * packing.columnStride];
    }
  }
  panels[((panel * packing.depth) << packing.widthBits) + at] = texel;
}

/// The texel of a matrix whose rows are contiguous and aligned: one load instead of four.
@compute @workgroup_size(WORKGROUP_SIZE)
fn matmulPackRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let at = group.x * WORKGROUP_SIZE + local;
  let panel = group.y + group.z * groups.y;
  let along = at >> packing.widthBits;
  if (panel >= packing.allPanels || along >= packing.depth) { return; }
  let source = sourceOf(panel, at & ((1u << packing.widthBits) - 1u), along);
  var texel = vec4f();
  if (source.valid) { texel = matrix4[(source.first + source.row * packing.rowStride + source.column) / 4u]; }
  panels[((panel * packing.depth) << packing.widthBits) + at] = texel;
}

/// Four texels whose rows follow each other, of a matrix whose columns are contiguous and aligned: a block of 4 by 4 is
/// read and transposed.
@compute @workgroup_size(WORKGROUP_SIZE)
fn matmulPackColumns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let block = group.x * WORKGROUP_SIZE + local;
  let panel = group.y + group.z * groups.y;
  // The four rows lie across a panel of rows, and along a panel of columns.
  let byRows = packing.byRows != 0u;
  let widthBits = packing.widthBits - select(0u, 2u, byRows);
  let across = (block & ((1u << widthBits) - 1u)) << select(0u, 2u, byRows);
  let along = (block >> widthBits) << select(2u, 0u, byRows);
  if (panel >= packing.allPanels || along >= packing.depth) { return; }
  let source = sourceOf(panel, across, along);
  var rows = mat4x4f();
  for (var j = 0u; j < 4u; j++) {
    if (source.valid && source.column + j < packing.columns) {
      rows[j] = matrix4[(source.first + source.row + (source.column + j) * packing.columnStride) / 4u];
    }
  }
  let texels = transpose(rows);
  let at = ((panel * packing.depth + along) << packing.widthBits) + across;
  let next = select(1u << packing.widthBits, 1u, byRows);
  panels[at] = texels[0];
  panels[at + next] = texels[1];
  panels[at + 2u * next] = texels[2];
  panels[at + 3u * next] = texels[3];
}

// --- Sums of rows: out[o, i] = sum over r of x[o, r, i], a chunk of r per invocation. ---

struct Sums {
  outer: u32,
  rows: u32,
  inner: u32,
  chunk: u32,    // rows per invocation
  chunks: u32,   // per (o, i); out is [outer, chunks, inner]
}

@group(0) @binding(0) var<uniform> sums: Sums;
@group(0) @binding(1) var<storage, read> terms: array<f32>;
@group(0) @binding(2) var<storage, read_write> totals: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn matmulSum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= sums.outer * sums.chunks * sums.inner) { return; }
  let i = id % sums.inner;
  let chunk = id / sums.inner % sums.chunks;
  let o = id / sums.inner / sums.chunks;
  var total = 0.0;
  for (var r = chunk * sums.chunk; r < min((chunk + 1u) * sums.chunk, sums.rows); r++) {
    total += terms[(o * sums.rows + r) * sums.inner + i];
  }
  totals[id] = total;
}
