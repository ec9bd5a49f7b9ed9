// multiHeadAttention: y = sum of exp(s - lse) v over the keys that a query sees, s = scale q . k, and its gradient. The
// matrix of scores is never held: blocks of keys go by, and when the largest score so far rises, what was summed is
// scaled down (online softmax). The gradient computes the scores again from q, k and lse.
//
// `attention*` (one row per invocation): for short sequences, and for software drivers: there a workgroup works on one head
// of one item, so all keys lie at uniform addresses, and the outputs themselves are the accumulators. No barriers.
// `attentionTiles*` (GPUs): 32 queries by 32 keys per workgroup of 8 x 8; 4 x 4 scores per invocation from workgroup memory.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup of the entry points with one row per invocation
override PACKED: u32 = 0u;           // 1: rows of all heads and items follow each other; 0: a workgroup has those of one

struct Params { items: u32, heads: u32, queries: u32, keys: u32, width: u32, dim: u32, causal: u32, masked: u32,
                scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;   // anything, where nothing is masked
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<u32>;

const LOWEST: f32 = -3e38;           // below every score; a weight below exp(-110) is 0 in any case
const FAR: f32 = -110.0;
const NEG_INF_BITS = 0xff800000u;
const ONES = vec4f(1.0);

/// One query, or one key, of one head of one item.
struct Row { valid: bool, item: u32, head: u32, at: u32, first: u32, end: u32 }   // first..end: those of the workgroup

fn rowOf(group: u32, local: u32, count: u32) -> Row {
  let units = params.items * params.heads;
  if (PACKED == 1u) {
    let id = group * WORKGROUP_SIZE + local;
    let unit = id / count;
    return Row(unit < units, unit / params.heads, unit % params.heads, id % count, 0u, count);
  }
  let tiles = (count + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
  let unit = group / tiles;
  let first = group % tiles * WORKGROUP_SIZE;
  return Row(unit < units && first + local < count, unit / params.heads, unit % params.heads, first + local, first,
             min(first + WORKGROUP_SIZE, count));
}

fn queryPlace(item: u32, head: u32, t: u32) -> u32 { return (item * params.queries + t) * params.width + head * params.dim; }
fn keyPlace(item: u32, head: u32, j: u32) -> u32 { return (item * params.keys + j) * params.width + head * params.dim; }
fn rowPlace(item: u32, head: u32, t: u32) -> u32 { return (item * params.queries + t) * params.heads + head; }

fn sees(item: u32, t: u32, j: u32) -> bool {
  var seen = j < params.keys && t < params.queries;
  if (params.causal == 1u) { seen = seen && j <= t + params.keys - params.queries; }
  if (params.masked == 1u) { seen = seen && mask[item * params.keys + min(j, params.keys - 1u)] != 0u; }
  return seen;
}

/// Whether query t sees the keys j, j + 1, ...
fn seesKeys(item: u32, t: u32, j: u32) -> vec4<bool> {
  return vec4<bool>(sees(item, t, j), sees(item, t, j + 1u), sees(item, t, j + 2u), sees(item, t, j + 3u));
}

/// Whether the queries t, t + 1, ... see key j.
fn seenBy(item: u32, t: u32, j: u32) -> vec4<bool> {
  return vec4<bool>(sees(item, t, j), sees(item, t + 1u, j), sees(item, t + 2u, j), sees(item, t + 3u, j));
}

/// One past the last key that queries before `end` may see.
fn keyLimit(end: u32) -> u32 {
  if (params.causal == 1u) { return min(params.keys, end + params.keys - params.queries); }
  return params.keys;
}

/// The first query that may see keys from `first` on.
fn queryStart(first: u32) -> u32 {
  let shift = params.keys - params.queries;
  if (params.causal == 1u && first > shift) { return first - shift; }
  return 0u;
}

fn greatest(s: vec4f) -> f32 { return max(max(s.x, s.y), max(s.z, s.w)); }
fn weights(s: vec4f, top: f32, seen: vec4<bool>) -> vec4f { return select(vec4f(0.0), exp(max(s - top, vec4f(FAR))), seen); }

/// Where four rows begin, the last one standing in for those beyond it.
fn places(base: u32, first: u32, count: u32) -> vec4u {
  return base + min(vec4u(first, first + 1u, first + 2u, first + 3u), vec4u(count - 1u)) * params.width;
}

fn k4(at: vec4u, d: u32) -> vec4f { return vec4f(k[at.x + d], k[at.y + d], k[at.z + d], k[at.w + d]); }
fn v4(at: vec4u, d: u32) -> vec4f { return vec4f(v[at.x + d], v[at.y + d], v[at.z + d], v[at.w + d]); }
fn q4(at: vec4u, d: u32) -> vec4f { return vec4f(q[at.x + d], q[at.y + d], q[at.z + d], q[at.w + d]); }

@compute @workgroup_size(WORKGROUP_SIZE)
fn attention(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = rowOf(linearGroup(group, groups), local, params.queries);
  if (!row.valid) { return; }
  let origin = queryPlace(row.item, row.head, row.at);
  let base = keyPlace(row.item, row.head, 0u);
  let last = keyLimit(row.end);
  var top = LOWEST;
  var sum = 0.0;
  for (var j = 0u; j < last; j += 8u) {
    let a = places(base, j, params.keys);
    let b = places(base, j + 4u, params.keys);
    var s = vec4f(0.0);
    var t = vec4f(0.0);
    for (var d = 0u; d < params.dim; d++) {
      let x = q[origin + d];
      s += x * k4(a, d);
      t += x * k4(b, d);
    }
    s *= params.scale;
    t *= params.scale;
    let seenA = seesKeys(row.item, row.at, j);
    let seenB = seesKeys(row.item, row.at, j + 4u);
    let high = max(select(vec4f(LOWEST), s, seenA), select(vec4f(LOWEST), t, seenB));
    let next = max(top, greatest(high));
    let shrink = exp(max(top - next, FAR));
    let p = weights(s, next, seenA);
    let r = weights(t, next, seenB);
    sum = sum * shrink + (dot(p, ONES) + dot(r, ONES));
    for (var d = 0u; d < params.dim; d++) {
      var before = 0.0;
      if (j > 0u) { before = y[origin + d] * shrink; }
      y[origin + d] = before + (dot(p, v4(a, d)) + dot(r, v4(b, d)));
    }
    top = next;
  }
  let any = sum > 0.0;
  let scale = select(0.0, 1.0 / sum, any);
  for (var d = 0u; d < params.dim; d++) {
    var value = 0.0;
    if (any) { value = y[origin + d] * scale; }
    y[origin + d] = value;
  }
  lse[rowPlace(row.item, row.head, row.at)] = select(NEG_INF_BITS, bitcast<u32>(top + log(max(sum, 1.0))), any);
}

// --- Backward. ---

@group(0) @binding(1) var<storage, read> outGradient: array<f32>;
@group(0) @binding(2) var<storage, read> out: array<f32>;
@group(0) @binding(3) var<storage, read> lseBits: array<u32>;
@group(0) @binding(4) var<storage, read_write> rowStats: array<f32>;

/// For every query of every head: lse (0 where it sees nothing), and dy . y.
@compute @workgroup_size(WORKGROUP_SIZE)
fn attentionStats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.items * params.queries * params.heads) { return; }
  let origin = id / params.heads * params.width + id % params.heads * params.dim;
  var sum = 0.0;
  for (var d = 0u; d < params.dim; d++) { sum += outGradient[origin + d] * out[origin + d]; }
  let bits = lseBits[id];
  rowStats[2u * id] = bitcast<f32>(select(bits, 0u, bits == NEG_INF_BITS));
  rowStats[2u * id + 1u] = sum;
}

@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

fn dy4(at: vec4u, d: u32) -> vec4f { return vec4f(dy[at.x + d], dy[at.y + d], dy[at.z + d], dy[at.w + d]); }

@compute @workgroup_size(WORKGROUP_SIZE)
fn attentionQueries(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let row = rowOf(linearGroup(group, groups), local, params.queries);
  if (!row.valid) { return; }
  let origin = queryPlace(row.item, row.head, row.at);
  let base = keyPlace(row.item, row.head, 0u);
  let place = rowPlace(row.item, row.head, row.at);
  let top = stats[2u * place];
  let mean = stats[2u * place + 1u];
  for (var d = 0u; d < params.dim; d++) { dq[origin + d] = 0.0; }
  let last = keyLimit(row.end);
  for (var j = 0u; j < last; j += 4u) {
    let a = places(base, j, params.keys);
    var s = vec4f(0.0);
    var t = vec4f(0.0);
    for (var d = 0u; d < params.dim; d++) {
      s += q[origin + d] * k4(a, d);
      t += dy[origin + d] * v4(a, d);
    }
    let p = weights(s * params.scale, top, seesKeys(row.item, row.at, j));
    let ds = p * (t - mean) * params.scale;
    for (var d = 0u; d < params.dim; d++) { dq[origin + d] += dot(ds, k4(a, d)); }
  }
}

@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn attentionKeys(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let row = rowOf(linearGroup(group, groups), local, params.keys);
  if (!row.valid) { return; }
  let origin = keyPlace(row.item, row.head, row.at);
  let base = queryPlace(row.item, row.head, 0u);
  for (var d = 0u; d < params.dim; d++) {
    dk[origin + d] = 0.0;
    dv[origin + d] = 0.0;
  }
  for (var i = queryStart(row.first); i < params.queries; i += 4u) {
    let a = places(base, i, params.queries);
    var s = vec4f(0.0);
    var t = vec4f(0.0);
    for (var d = 0u; d < params.dim; d++) {
      s += k[origin + d] * q4(a, d);
      t += v[origin + d] * dy4(a, d);
    }
    let at = min(vec4u(i, i + 1u, i + 2u, i + 3u), vec4u(params.queries - 1u));
    let r = 2u * ((row.item * params.queries + at) * params.heads + row.head);
    let tops = vec4f(stats[r.x], stats[r.y], stats[r.z], stats[r.w]);
    let means = vec4f(stats[r.x + 1u], stats[r.y + 1u], stats[r.z + 1u], stats[r.w + 1u]);
    let p = weights(s * params.scale - tops, 0.0, seenBy(row.item, i, row.at));
    let ds = p * (t - means) * params.scale;
    for (var d = 0u; d < params.dim; d++) {
      dk[origin + d] += dot(ds, q4(a, d));
      dv[origin + d] += dot(p, dy4(a, d));
    }
  }
}

// --- Tiles. Invocation (r, c) of 8 x 8 has rows r, r + 8, ... and columns c, c + 8, ... of 32 x 32. ---

const SIDE = 32u;      // queries or keys of a tile
const STEP = 16u;      // features that are in workgroup memory at a time
const SLICE = 32u;     // features of the outputs that one workgroup works on
const COLUMNS = 4u;    // of them, those of one invocation

var<workgroup> left: array<f32, 544>;      // 32 x 17: the odd pitch spreads columns over the banks
var<workgroup> right: array<f32, 544>;
var<workgroup> tile: array<f32, 1056>;     // 32 x 33
var<workgroup> other: array<f32, 1056>;
var<workgroup> partial: array<f32, 256>;   // 32 rows x 8
var<workgroup> open: array<u32, 32>;       // whether the keys of a tile exist and are not masked

/// 4 x 4 products of `count` features in workgroup memory, added to s; column i of the matrix is row r + 8 i of the tile.
/// No compiler knows the count: some unroll what they can for a minute.
fn addProducts(s: mat4x4f, r: u32, c: u32, count: u32) -> mat4x4f {
  var sum = s;
  for (var d = 0u; d < count; d++) {
    let b = vec4f(right[c * 17u + d], right[(c + 8u) * 17u + d], right[(c + 16u) * 17u + d], right[(c + 24u) * 17u + d]);
    sum[0] += left[r * 17u + d] * b;
    sum[1] += left[(r + 8u) * 17u + d] * b;
    sum[2] += left[(r + 16u) * 17u + d] * b;
    sum[3] += left[(r + 24u) * 17u + d] * b;
  }
  return sum;
}

/// Find out which keys of a tile can be seen at all. The barriers of the next scoreTile come before `seesColumns`.
fn openKeys(item: u32, first: u32, local: u32) {
  if (local < SIDE) { open[local] = u32(sees(item, params.queries - 1u, first + local)); }
}

/// Whether query t sees the keys of an invocation, columns c, c + 8, ... of the tile that begins at `first`.
fn seesColumns(t: u32, first: u32, c: u32) -> vec4<bool> {
  let column = vec4u(c, c + 8u, c + 16u, c + 24u);
  var seen = vec4u(open[column.x], open[column.y], open[column.z], open[column.w]) != vec4u(0u);
  if (params.causal == 1u) { seen = seen & (first + column <= vec4u(t + params.keys - params.queries)); }
  return seen & vec4<bool>(t < params.queries);
}

/// q . k for a tile.
fn scoreTile(item: u32, head: u32, firstQuery: u32, firstKey: u32, local: u32) -> mat4x4f {
  var s = mat4x4f();
  for (var d0 = 0u; d0 < params.dim; d0 += STEP) {
    workgroupBarrier();
    for (var e = local; e < SIDE * STEP; e += 64u) {
      let row = e / STEP;
      let d = d0 + e % STEP;
      var a = 0.0;
      var b = 0.0;
      if (d < params.dim && firstQuery + row < params.queries) { a = q[queryPlace(item, head, firstQuery + row) + d]; }
      if (d < params.dim && firstKey + row < params.keys) { b = k[keyPlace(item, head, firstKey + row) + d]; }
      left[row * 17u + e % STEP] = a;
      right[row * 17u + e % STEP] = b;
    }
    workgroupBarrier();
    s = addProducts(s, local / 8u, local % 8u, min(STEP, params.dim - d0));
  }
  return s;
}

/// dy . v for a tile.
fn gradientTile(item: u32, head: u32, firstQuery: u32, firstKey: u32, local: u32) -> mat4x4f {
  var s = mat4x4f();
  for (var d0 = 0u; d0 < params.dim; d0 += STEP) {
    workgroupBarrier();
    for (var e = local; e < SIDE * STEP; e += 64u) {
      let row = e / STEP;
      let d = d0 + e % STEP;
      var a = 0.0;
      var b = 0.0;
      if (d < params.dim && firstQuery + row < params.queries) { a = dy[queryPlace(item, head, firstQuery + row) + d]; }
      if (d < params.dim && firstKey + row < params.keys) { b = v[keyPlace(item, head, firstKey + row) + d]; }
      left[row * 17u + e % STEP] = a;
      right[row * 17u + e % STEP] = b;
    }
    workgroupBarrier();
    s = addProducts(s, local / 8u, local % 8u, min(STEP, params.dim - d0));
  }
  return s;
}

/// What a workgroup works on: a tile of `count` rows, and a slice of the features of the outputs.
struct Work { valid: bool, item: u32, head: u32, first: u32, slice: u32 }

fn workOf(group: u32, count: u32) -> Work {
  let slices = (params.dim + SLICE - 1u) / SLICE;
  let tiles = (count + SIDE - 1u) / SIDE;
  let id = group / slices;
  let unit = id / tiles;
  return Work(unit < params.items * params.heads, unit / params.heads, unit % params.heads, id % tiles * SIDE,
              group % slices * SLICE);
}

/// The feature that an invocation works on, the last one standing in for those beyond it.
fn featureOf(slice: u32, c: u32, m: u32) -> u32 { return min(slice + c + 8u * m, params.dim - 1u); }

fn tileRows(r: u32, j: u32) -> vec4f {
  return vec4f(tile[r * 33u + j], tile[(r + 8u) * 33u + j], tile[(r + 16u) * 33u + j], tile[(r + 24u) * 33u + j]);
}

@compute @workgroup_size(64)
fn attentionTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let work = workOf(linearGroup(group, groups), params.queries);
  if (!work.valid) { return; }   // uniform: a whole workgroup leaves
  let r = local / 8u;
  let c = local % 8u;
  var top = vec4f(LOWEST);
  var sum = vec4f(0.0);
  var total = array<vec4f, 4>();
  let last = keyLimit(min(work.first + SIDE, params.queries));
  for (var j = 0u; j < last; j += SIDE) {
    openKeys(work.item, j, local);
    var s = scoreTile(work.item, work.head, work.first, j, local) * params.scale;
    for (var i = 0u; i < 4u; i++) {
      s[i] = select(vec4f(LOWEST), s[i], seesColumns(work.first + r + 8u * i, j, c));
      partial[(r + 8u * i) * 8u + c] = greatest(s[i]);
    }
    workgroupBarrier();
    var next = top;
    for (var n = 0u; n < 8u; n++) {
      let at = r * 8u + n;
      next = max(next, vec4f(partial[at], partial[at + 64u], partial[at + 128u], partial[at + 192u]));
    }
    let shrink = exp(max(top - next, vec4f(FAR)));
    for (var i = 0u; i < 4u; i++) {
      let p = weights(s[i], next[i], s[i] > vec4f(LOWEST));
      sum[i] = sum[i] * shrink[i] + dot(p, ONES);
      for (var n = 0u; n < 4u; n++) { tile[(r + 8u * i) * 33u + c + 8u * n] = p[n]; }
    }
    workgroupBarrier();
    for (var m = 0u; m < COLUMNS; m++) { total[m] *= shrink; }
    for (var n = 0u; n < min(SIDE, last - j); n++) {
      let w = tileRows(r, n);
      let place = keyPlace(work.item, work.head, j + n);
      for (var m = 0u; m < COLUMNS; m++) { total[m] += w * v[place + featureOf(work.slice, c, m)]; }
    }
    top = next;
  }
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) { partial[(r + 8u * i) * 8u + c] = sum[i]; }
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) {
    let t = work.first + r + 8u * i;
    var all = 0.0;
    for (var n = 0u; n < 8u; n++) { all += partial[(r + 8u * i) * 8u + n]; }
    let any = all > 0.0;
    let scale = select(0.0, 1.0 / all, any);
    if (t < params.queries) {
      let origin = queryPlace(work.item, work.head, t);
      for (var m = 0u; m < COLUMNS; m++) {
        let d = work.slice + c + 8u * m;
        if (d < params.dim) { y[origin + d] = total[m][i] * scale; }
      }
      if (work.slice == 0u && c == 0u) {
        lse[rowPlace(work.item, work.head, t)] = select(NEG_INF_BITS, bitcast<u32>(top[i] + log(max(all, 1.0))), any);
      }
    }
  }
}

/// p and ds of row i of a tile of scores and products.
struct Pair { p: vec4f, ds: vec4f }

fn pairOf(item: u32, head: u32, t: u32, first: u32, c: u32, s: vec4f, g: vec4f) -> Pair {
  let place = 2u * rowPlace(item, head, min(t, params.queries - 1u));
  let p = weights(s * params.scale, stats[place], seesColumns(t, first, c));
  return Pair(p, p * (g - stats[place + 1u]) * params.scale);
}

@compute @workgroup_size(64)
fn attentionTilesQueries(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                         @builtin(local_invocation_index) local: u32) {
  let work = workOf(linearGroup(group, groups), params.queries);
  if (!work.valid) { return; }
  let r = local / 8u;
  let c = local % 8u;
  var total = array<vec4f, 4>();
  let last = keyLimit(min(work.first + SIDE, params.queries));
  for (var j = 0u; j < last; j += SIDE) {
    openKeys(work.item, j, local);
    let s = scoreTile(work.item, work.head, work.first, j, local);
    let g = gradientTile(work.item, work.head, work.first, j, local);
    for (var i = 0u; i < 4u; i++) {
      let ds = pairOf(work.item, work.head, work.first + r + 8u * i, j, c, s[i], g[i]).ds;
      for (var n = 0u; n < 4u; n++) { tile[(r + 8u * i) * 33u + c + 8u * n] = ds[n]; }
    }
    workgroupBarrier();
    for (var n = 0u; n < min(SIDE, last - j); n++) {
      let w = tileRows(r, n);
      let place = keyPlace(work.item, work.head, j + n);
      for (var m = 0u; m < COLUMNS; m++) { total[m] += w * k[place + featureOf(work.slice, c, m)]; }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    let t = work.first + r + 8u * i;
    for (var m = 0u; m < COLUMNS; m++) {
      let d = work.slice + c + 8u * m;
      if (t < params.queries && d < params.dim) { dq[queryPlace(work.item, work.head, t) + d] = total[m][i]; }
    }
  }
}

@compute @workgroup_size(64)
fn attentionTilesKeys(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                      @builtin(local_invocation_index) local: u32) {
  let work = workOf(linearGroup(group, groups), params.keys);
  if (!work.valid) { return; }
  let r = local / 8u;
  let c = local % 8u;
  var totalK = array<vec4f, 4>();
  var totalV = array<vec4f, 4>();
  for (var t = queryStart(work.first); t < params.queries; t += SIDE) {
    openKeys(work.item, work.first, local);
    let s = scoreTile(work.item, work.head, t, work.first, local);
    let g = gradientTile(work.item, work.head, t, work.first, local);
    for (var i = 0u; i < 4u; i++) {
      let pair = pairOf(work.item, work.head, t + r + 8u * i, work.first, c, s[i], g[i]);
      // Turned round: from here on the rows are keys.
      for (var n = 0u; n < 4u; n++) {
        tile[(c + 8u * n) * 33u + r + 8u * i] = pair.p[n];
        other[(c + 8u * n) * 33u + r + 8u * i] = pair.ds[n];
      }
    }
    workgroupBarrier();
    for (var n = 0u; n < min(SIDE, params.queries - t); n++) {
      let p = tileRows(r, n);
      let ds = vec4f(other[r * 33u + n], other[(r + 8u) * 33u + n], other[(r + 16u) * 33u + n], other[(r + 24u) * 33u + n]);
      let place = queryPlace(work.item, work.head, t + n);
      for (var m = 0u; m < COLUMNS; m++) {
        let d = place + featureOf(work.slice, c, m);
        totalK[m] += ds * q[d];
        totalV[m] += p * dy[d];
      }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    let j = work.first + r + 8u * i;
    for (var m = 0u; m < COLUMNS; m++) {
      let d = work.slice + c + 8u * m;
      if (j < params.keys && d < params.dim) {
        let at = keyPlace(work.item, work.head, j) + d;
        dk[at] = totalK[m][i];
        dv[at] = totalV[m][i];
      }
    }
  }
}
