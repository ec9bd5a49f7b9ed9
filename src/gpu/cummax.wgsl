// cummax: running maximum along the middle axis of x seen as [outer, length, inner], with indices; and its gradient.
//
// A running maximum is a scan with an associative operator, so a row may be cut into chunks: `cummaxReduce` finds the
// maximum of each chunk, `cummaxCarry` runs over the chunks of a row, and `cummax` runs over the elements of a chunk
// from the carry it is given. With enough rows to fill the machine there is one chunk per row, only `cummax` runs, and x
// is read once. One invocation owns one (row, chunk); neighbours own neighbouring rows, so their accesses are adjacent
// whenever inner > 1. Rows that are whole and come in fours (inner a multiple of 4) take the *Quads entry points: four
// neighbouring rows per invocation, 16 bytes per access. For inner = 1 the gpu family uses the *Tiles entry points: one workgroup owns one (row, chunk).
//
// All floats are handled as bits and compared by order keys: exact for NaN, signed zeros and subnormals on any device.
// A state is (bits, index); index -1 means "the carry from outside, or nothing yet" (bits of -infinity then).
// Source: Blelloch, Prefix Sums and Their Applications (1990); ties and NaN as in torch.cummax.
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
const TILE: u32 = 256u;              // invocations per workgroup of the *Tiles entry points
const PER: u32 = 4u;                 // consecutive elements per invocation and tile

const NEG_INF_BITS = 0xff800000u;

struct Params {
  rows: u32,         // outer * inner
  inner: u32,
  length: u32,
  chunk: u32,        // elements per chunk
  chunks: u32,       // chunks per row
  hasCarry: u32,     // 1: carryIn / dCarryOut holds values
  maskInner: u32,    // 0: no mask; 1: mask is [outer, length]; inner: mask is shaped like x
}

@group(0) @binding(0) var<uniform> params: Params;

// Forward.
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read> carryIn: array<u32>;
@group(0) @binding(4) var<storage, read> states: array<vec2u>;        // [chunks, rows], exclusive prefix of each chunk
@group(0) @binding(5) var<storage, read_write> values: array<u32>;
@group(0) @binding(6) var<storage, read_write> indices: array<i32>;
@group(0) @binding(7) var<storage, read_write> carryOut: array<u32>;

struct State { key: u32, bits: u32, index: i32 }

fn initialState(row: u32) -> State {
  let bits = select(NEG_INF_BITS, carryIn[min(row, arrayLength(&carryIn) - 1u)], params.hasCarry != 0u);
  return State(orderKey(bits), bits, -1);
}

/// The later of two states wins ties; a state that saw nothing (index -1) changes nothing.
fn combine(early: State, late: State) -> State {
  if (late.index >= 0 && late.key >= early.key) { return late; }
  return early;
}

fn takesPart(position: u32, column: u32) -> bool {
  if (params.maskInner == 0u) { return true; }
  return mask[position * params.maskInner + select(column, 0u, params.maskInner == 1u)] != 0u;
}

/// The chunk's (row, chunk number) of an invocation or workgroup; rows are neighbours.
fn owned(id: u32) -> vec2u { return vec2u(id % params.rows, id / params.rows); }

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let own = owned(id);
  let column = own.x % params.inner;
  let origin = own.x / params.inner * params.length;   // the position of the row's first element, columns left out
  var state = initialState(own.x);
  if (params.chunks > 1u) {
    let s = states[id];
    state = State(orderKey(s.x), s.x, bitcast<i32>(s.y));
  }
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  var at = (origin + first) * params.inner + column;
  for (var t = first; t < end; t++) {
    if (takesPart(origin + t, column)) {
      let bits = x[at];
      let key = orderKey(bits);
      if (key >= state.key) { state = State(key, bits, i32(t)); }
    }
    values[at] = state.bits;
    indices[at] = state.index;
    at += params.inner;
  }
  if (own.y == params.chunks - 1u) { carryOut[own.x] = state.bits; }
}

// --- Quads: four neighbouring rows per invocation, one chunk per row, no mask. ---

@group(0) @binding(1) var<storage, read> x4: array<vec4u>;
@group(0) @binding(2) var<storage, read> carryIn4: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> values4: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> indices4: array<vec4i>;
@group(0) @binding(5) var<storage, read_write> carryOut4: array<vec4u>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let quad = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (quad >= params.rows / 4u) { return; }
  let stride = params.inner / 4u;
  var at = quad / stride * params.length * stride + quad % stride;
  var bits = vec4u(NEG_INF_BITS);
  if (params.hasCarry != 0u) { bits = carryIn4[quad]; }
  var key = orderKey4(bits);
  var index = vec4i(-1);
  for (var t = 0u; t < params.length; t++) {
    let next = x4[at];
    let nextKey = orderKey4(next);
    let wins = nextKey >= key;
    key = select(key, nextKey, wins);
    bits = select(bits, next, wins);
    index = select(index, vec4i(i32(t)), wins);
    values4[at] = bits;
    indices4[at] = index;
    at += stride;
  }
  carryOut4[quad] = bits;
}

// Chunk maxima and their running maximum. The states buffer is written here and read by `cummax`.
@group(0) @binding(3) var<storage, read_write> chunkStates: array<vec2u>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxReduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let own = owned(id);
  let column = own.x % params.inner;
  let origin = own.x / params.inner * params.length;
  var state = State(0u, NEG_INF_BITS, -1);
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  var at = (origin + first) * params.inner + column;
  for (var t = first; t < end; t++) {
    if (takesPart(origin + t, column)) {
      let bits = x[at];
      let key = orderKey(bits);
      if (key >= state.key) { state = State(key, bits, i32(t)); }
    }
    at += params.inner;
  }
  chunkStates[id] = vec2u(state.bits, bitcast<u32>(state.index));
}

@group(0) @binding(1) var<storage, read> firstCarry: array<u32>;
@group(0) @binding(2) var<storage, read_write> prefixes: array<vec2u>;  // in: chunk maxima; out: exclusive prefixes

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxCarry(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let bits = select(NEG_INF_BITS, firstCarry[min(row, arrayLength(&firstCarry) - 1u)], params.hasCarry != 0u);
  var state = State(orderKey(bits), bits, -1);
  for (var c = 0u; c < params.chunks; c++) {
    let s = prefixes[c * params.rows + row];
    prefixes[c * params.rows + row] = vec2u(state.bits, bitcast<u32>(state.index));
    state = combine(state, State(orderKey(s.x), s.x, bitcast<i32>(s.y)));
  }
}

// --- Tiles: one workgroup per (row, chunk), for rows that are contiguous (inner = 1). ---

var<workgroup> tile: array<State, TILE>;

/// Inclusive scan of one state per invocation over the workgroup (Hillis and Steele): after step d every entry covers
/// the 2d entries up to its own. Two barriers a step: all read before any writes, all write before any reads.
fn scanTile(local: u32, mine: State) {
  tile[local] = mine;
  workgroupBarrier();
  for (var d = 1u; d < TILE; d *= 2u) {
    var state = tile[local];
    if (local >= d) { state = combine(tile[local - d], state); }
    workgroupBarrier();
    tile[local] = state;
    workgroupBarrier();
  }
}

@compute @workgroup_size(TILE)
fn cummaxTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= params.rows * params.chunks) { return; }   // uniform: a whole workgroup leaves
  let own = owned(id);
  let origin = own.x * params.length;
  var carry = initialState(own.x);
  if (params.chunks > 1u) {
    let s = states[id];
    carry = State(orderKey(s.x), s.x, bitcast<i32>(s.y));
  }
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += TILE * PER) {
    let mine = start + local * PER;
    var total = State(0u, NEG_INF_BITS, -1);
    for (var t = mine; t < min(mine + PER, end); t++) {
      if (takesPart(origin + t, 0u)) {
        let bits = x[origin + t];
        total = combine(total, State(orderKey(bits), bits, i32(t)));
      }
    }
    scanTile(local, total);
    var state = carry;
    if (local > 0u) { state = combine(carry, tile[local - 1u]); }
    carry = combine(carry, tile[TILE - 1u]);
    workgroupBarrier();   // the next tile overwrites what was just read
    for (var t = mine; t < min(mine + PER, end); t++) {
      if (takesPart(origin + t, 0u)) {
        let bits = x[origin + t];
        state = combine(state, State(orderKey(bits), bits, i32(t)));
      }
      values[origin + t] = state.bits;
      indices[origin + t] = state.index;
    }
  }
  if (local == 0u && own.y == params.chunks - 1u) { carryOut[own.x] = carry.bits; }
}

@compute @workgroup_size(TILE)
fn cummaxReduceTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= params.rows * params.chunks) { return; }
  let own = owned(id);
  let origin = own.x * params.length;
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  // Each invocation strides over the chunk; its own states come in order, and `latest` makes the merge order-free.
  var best = State(0u, NEG_INF_BITS, -1);
  for (var t = first + local; t < end; t += TILE) {
    if (takesPart(origin + t, 0u)) {
      let bits = x[origin + t];
      best = combine(best, State(orderKey(bits), bits, i32(t)));
    }
  }
  tile[local] = best;
  workgroupBarrier();
  for (var d = TILE / 2u; d > 0u; d /= 2u) {
    if (local < d) { tile[local] = latest(tile[local], tile[local + d]); }
    workgroupBarrier();
  }
  if (local == 0u) { chunkStates[id] = vec2u(tile[0].bits, bitcast<u32>(tile[0].index)); }
}

/// The greater of two states whose positions interleave: by key, then by position.
fn latest(a: State, b: State) -> State {
  if (b.key > a.key || (b.key == a.key && b.index > a.index)) { return b; }
  return a;
}

// --- Backward: a suffix sum over runs of equal indices, from the last position to the first. ---
// A chunk hands what it did not pay out to the chunk before it: `cummaxBackwardReduce` computes each chunk's own rest
// and whether anything from its right can pass through, `cummaxBackwardCarry` adds these up, `cummaxBackward` pays out.

@group(0) @binding(1) var<storage, read> dValues: array<f32>;
@group(0) @binding(2) var<storage, read> owner: array<i32>;             // the indices of the forward pass
@group(0) @binding(3) var<storage, read> dCarryOut: array<f32>;
@group(0) @binding(4) var<storage, read> incoming: array<vec2f>;        // [chunks, rows]: x = the sum from the right
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> dCarryIn: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let own = owned(id);
  let column = own.x % params.inner;
  let origin = own.x / params.inner * params.length;
  var sum = 0.0;
  if (params.chunks > 1u) { sum = incoming[id].x; }
  else if (params.hasCarry != 0u) { sum = dCarryOut[own.x]; }
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  for (var t = end; t > first; t--) {
    let at = (origin + t - 1u) * params.inner + column;
    sum += dValues[at];
    let pays = owner[at] == i32(t - 1u);
    dx[at] = select(0.0, sum, pays);
    sum = select(sum, 0.0, pays);
  }
  if (own.y == 0u) { dCarryIn[own.x] = sum; }
}

@group(0) @binding(1) var<storage, read> dValues4: array<vec4f>;
@group(0) @binding(2) var<storage, read> owner4: array<vec4i>;
@group(0) @binding(3) var<storage, read> dCarryOut4: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dx4: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dCarryIn4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxBackwardQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                       @builtin(local_invocation_index) local: u32) {
  let quad = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (quad >= params.rows / 4u) { return; }
  let stride = params.inner / 4u;
  var at = quad / stride * params.length * stride + quad % stride + params.length * stride;
  var sum = vec4f(0.0);
  if (params.hasCarry != 0u) { sum = dCarryOut4[quad]; }
  for (var t = params.length; t > 0u; t--) {
    at -= stride;
    sum += dValues4[at];
    let pays = owner4[at] == vec4i(i32(t - 1u));
    dx4[at] = select(vec4f(0.0), sum, pays);
    sum = select(sum, vec4f(0.0), pays);
  }
  dCarryIn4[quad] = sum;
}

@group(0) @binding(3) var<storage, read_write> rests: array<vec2f>;     // x = the chunk's rest, y = 1 if all passes

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxBackwardReduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let own = owned(id);
  let column = own.x % params.inner;
  let origin = own.x / params.inner * params.length;
  let first = own.y * params.chunk;
  let end = min(first + params.chunk, params.length);
  var sum = 0.0;
  var passes = 1.0;
  for (var t = end; t > first; t--) {
    let at = (origin + t - 1u) * params.inner + column;
    sum += dValues[at];
    if (owner[at] == i32(t - 1u)) { sum = 0.0; passes = 0.0; }
  }
  rests[id] = vec2f(sum, passes);
}

@group(0) @binding(1) var<storage, read> lastCarry: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec2f>;      // in: rests; out: x = what comes from the right

@compute @workgroup_size(WORKGROUP_SIZE)
fn cummaxBackwardCarry(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                       @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  var sum = select(0.0, lastCarry[min(row, arrayLength(&lastCarry) - 1u)], params.hasCarry != 0u);
  for (var c = params.chunks; c > 0u; c--) {
    let at = (c - 1u) * params.rows + row;
    let rest = sums[at];
    sums[at] = vec2f(sum, 0.0);
    sum = rest.x + select(0.0, sum, rest.y != 0.0);
  }
}
