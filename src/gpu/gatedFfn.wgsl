// gatedFfn: h = (x w1ᵀ + b1) * act(x wgᵀ + bg), the part of the layer that is not a plain product; y = h w2ᵀ + b2 and the
// products of the backward pass run in matmul.wgsl.
//
// `gatedFfnTiles` (GPUs) multiplies a tile of x with a tile of w1 and one of wg in one go, and writes h only: value and gate
// never reach memory. Where products run from panels (CPU adapters), value and gate are plain products, and `gatedFfnPack`
// combines them straight into the panels of h that the last product reads; `gatedFfnGate` writes h as a matrix.
// `gatedFfnSlopes` is the part of the backward pass between the products.
// Source: Shazeer, GLU Variants Improve Transformer (2020).
// @uses lib/activations.wgsl
// @uses lib/grid.wgsl
// @uses lib/panels.wgsl

override WORKGROUP_SIZE: u32 = 64u;   // invocations per workgroup of the entry points but gatedFfnTiles
override TILE_X: u32 = 8u;            // gatedFfnTiles: invocations along h; the tile is 4 * TILE_X hidden units wide
override TILE_Y: u32 = 8u;            // and along the rows, 8 per invocation; TILE_X * TILE_Y is 1..256
override TILE_K: u32 = 16u;           // features per tile; 32 * TILE_K * (TILE_X + TILE_Y) bytes fit

struct Params {
  rows: u32,
  hidden: u32,
  features: u32,
  hasValueBias: u32,
  hasGateBias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, features]
@group(0) @binding(2) var<storage, read> w1: array<f32>;      // [hidden, features]
@group(0) @binding(3) var<storage, read> wg: array<f32>;
@group(0) @binding(4) var<storage, read> b1: array<f32>;      // [hidden]
@group(0) @binding(5) var<storage, read> bg: array<f32>;
@group(0) @binding(6) var<storage, read_write> h: array<f32>; // [rows, hidden]

// By steps of k: [TILE_K][rows / 4], and [TILE_K][hidden units / 4] of w1, then of wg.
var<workgroup> xTile: array<vec4f, TILE_K * TILE_Y * 2u>;
var<workgroup> wTile: array<vec4f, TILE_K * TILE_X * 2u>;

/// Four rows of x at one feature; zero outside, so that no later step needs to know the edges. Without branches: the loads
/// are then all under way at once.
fn fourRows(row: u32, feature: u32) -> vec4f {
  let rows = vec4u(row, row + 1u, row + 2u, row + 3u);
  let inside = rows < vec4u(select(0u, params.rows, feature < params.features));
  let at = select(vec4u(), rows * params.features + feature, inside);
  return select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), inside);
}

/// Four hidden units at one feature of w1, or of wg; zero outside.
fn fourUnits(gate: bool, unit: u32, feature: u32) -> vec4f {
  let units = vec4u(unit, unit + 1u, unit + 2u, unit + 3u);
  let inside = units < vec4u(select(0u, params.hidden, feature < params.features));
  let at = select(vec4u(), units * params.features + feature, inside);
  var four: vec4f;
  if (gate) { four = vec4f(wg[at.x], wg[at.y], wg[at.z], wg[at.w]); }
  else { four = vec4f(w1[at.x], w1[at.y], w1[at.z], w1[at.w]); }
  return select(vec4f(), four, inside);
}

@compute @workgroup_size(TILE_X, TILE_Y)
fn gatedFfnTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let across = (params.hidden + 4u * TILE_X - 1u) / (4u * TILE_X);
  let id = linearGroup(group, groups);
  let row = id / across * 8u * TILE_Y;
  let unit = id % across * 4u * TILE_X;
  if (row >= params.rows) { return; }   // the same for the whole workgroup

  // 8 rows of 4 hidden units, of the value and of the gate.
  var value: array<vec4f, 8>;
  var gate: array<vec4f, 8>;
  for (var start = 0u; start < params.features; start += TILE_K) {
    // Features are contiguous: neighbouring invocations take neighbouring features.
    for (var i = index; i < TILE_K * TILE_Y * 2u; i += TILE_X * TILE_Y) {
      let step = i % TILE_K;
      let four = i / TILE_K;
      xTile[step * TILE_Y * 2u + four] = fourRows(row + 4u * four, start + step);
    }
    for (var i = index; i < TILE_K * TILE_X * 2u; i += TILE_X * TILE_Y) {
      let step = i % TILE_K;
      let four = i / TILE_K;
      wTile[step * TILE_X * 2u + four] = fourUnits(four >= TILE_X, unit + 4u * (four % TILE_X), start + step);
    }
    workgroupBarrier();   // the tiles are complete
    for (var step = 0u; step < TILE_K; step++) {
      let above = xTile[step * TILE_Y * 2u + local.y];
      let below = xTile[step * TILE_Y * 2u + TILE_Y + local.y];
      let v = wTile[step * TILE_X * 2u + local.x];
      let g = wTile[step * TILE_X * 2u + TILE_X + local.x];
      for (var i = 0u; i < 4u; i++) {
        value[i] = fma(vec4f(above[i]), v, value[i]);
        gate[i] = fma(vec4f(above[i]), g, gate[i]);
        value[i + 4u] = fma(vec4f(below[i]), v, value[i + 4u]);
        gate[i + 4u] = fma(vec4f(below[i]), g, gate[i + 4u]);
      }
    }
    workgroupBarrier();   // nobody reads the tiles any more
  }
  let first = unit + 4u * local.x;
  for (var i = 0u; i < 8u; i++) {
    let r = row + 4u * (local.y + TILE_Y * (i / 4u)) + i % 4u;
    if (r < params.rows) {
      // A loop whose length the compiler cannot know: unrolled, the activations would be most of the kernel.
      for (var c = first; c < min(first + 4u, params.hidden); c++) {
        var u = value[i][c - first];
        var g = gate[i][c - first];
        if (params.hasValueBias != 0u) { u += b1[c]; }
        if (params.hasGateBias != 0u) { g += bg[c]; }
        h[r * params.hidden + c] = u * activation(g);
      }
    }
  }
}

// --- Value and gate are there as matrices. ---

struct Elements {
  count: u32,
  rows: u32,      // gatedFfnPack: the matrix, and its panels as in matmul.wgsl
  hidden: u32,
  depth: u32,     // texels per panel and row of it
  panels: u32,
}

@group(0) @binding(0) var<uniform> elements: Elements;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> product: array<f32>;
@group(0) @binding(3) var<storage, read_write> panels: array<vec4f>;

/// h = u * act(g)
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatedFfnGate(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= elements.count) { return; }
  product[id] = values[id] * activation(gates[id]);
}

/// h = u * act(g), as panels of a left factor (matmul.wgsl): [panel][hidden / 4][16 rows] of vec4f along the hidden units.
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatedFfnPack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let at = group.x * WORKGROUP_SIZE + local;
  let panel = group.y + group.z * groups.y;
  if (panel >= elements.panels || at >= elements.depth * PANEL_ROWS) { return; }
  let row = panel * PANEL_ROWS + at % PANEL_ROWS;
  let unit = at / PANEL_ROWS * 4u;
  var texel = vec4f();
  for (var j = 0u; j < min(4u, elements.hidden - unit); j++) {
    if (row < elements.rows) {
      let place = row * elements.hidden + unit + j;
      texel[j] = values[place] * activation(gates[place]);
    }
  }
  panels[panel * elements.depth * PANEL_ROWS + at] = texel;
}

@group(0) @binding(1) var<storage, read_write> u: array<f32>;    // in: the value; out: its gradient
@group(0) @binding(2) var<storage, read_write> g: array<f32>;    // in: the gate; out: its gradient
@group(0) @binding(3) var<storage, read_write> dh: array<f32>;   // in: the gradient of h; out: h

/// du = dh * act(g), dg = dh * u * act'(g), and h again for the gradient of w2; each in place of what it is made from.
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatedFfnSlopes(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= elements.count) { return; }
  let value = u[id];
  let gate = g[id];
  let gradient = dh[id];
  let open = activation(gate);
  u[id] = gradient * open;
  g[id] = gradient * (value * slope(gate));
  dh[id] = value * open;
}
