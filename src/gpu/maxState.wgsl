// maxState: the mixing step of SamOut, fused. With m[t] = the maximum of c[s] over s <= t (and of the carry),
// y = alpha1 b + alpha2 m + alpha3 a + alpha4 c + (a + b + c) m + alpha5 m. And its gradient.
//
// abc is [batch, length, 3 * channels]: a, b and c of a position lie side by side. A row is one (batch, channel); one
// invocation owns a row, or one chunk of it, and walks through time: a, b and c are read once, y is written once, and m
// never leaves the registers. Neighbours own neighbouring channels, so their accesses are adjacent. The *Quads entry
// points own four channels each. Rows are cut into chunks only where there are too few of them to fill the machine; then
// `maxStateReduce` and `maxStateCarry` first find the state before each chunk, reading c twice.
//
// The maximum is taken on bits, by order keys: exact for NaN, signed zeros and subnormals on any device. A state that saw
// nothing has the bits of -infinity; it counts as 0 in arithmetic.
//
// `states` keeps the state before every PERIOD-th position. From there the backward finds each m again by walking forward
// over PERIOD positions of c, which it needs anyway; so m is neither saved nor read, and whether c[t] took the maximum
// over is known from orderKey(c) == orderKey(m) (a tie goes to the later one, so the indices of cummax are not needed).
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override CAPPED: u32 = 0u;           // 1: params.cap stands for what is above it
override SPAN: u32 = 64u;            // partial sums per alpha between the two last levels of their reduction
const PERIOD: u32 = 16u;             // positions between saved states; the contract's statePeriod
const AHEAD: u32 = 4u;               // positions whose loads are started before the first is used

const NOTHING = 0xff800000u;         // the bits of -infinity

struct Params {
  rows: u32,         // batch * channels
  channels: u32,
  length: u32,
  chunk: u32,        // positions per chunk: a multiple of PERIOD when there are several
  chunks: u32,       // chunks per row
  hasCarry: u32,     // 1: carryIn / dCarryOut holds values
  flags: u32,        // 0: none; 1: flags is the mask; 2: flags is the reset; 3: both, packed by maxStateFlags
  items: u32,        // invocations that left partial sums
  cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

// --- Mask and reset in one buffer: bit 0 = joins the maximum, bit 1 = begins a document. ---

@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> resets: array<u32>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateFlags(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.items) { return; }
  packed[i] = select(0u, 1u, mask[i] != 0u) | select(0u, 2u, resets[i] != 0u);
}

fn interpret(flag: u32) -> u32 {
  if (params.flags == 1u) { return select(0u, 1u, flag != 0u); }
  if (params.flags == 2u) { return select(1u, 3u, flag != 0u); }
  return flag;
}

// --- Forward. ---

@group(0) @binding(1) var<storage, read> abc: array<u32>;
@group(0) @binding(2) var<storage, read> alphas: array<f32>;
@group(0) @binding(3) var<storage, read> carryIn: array<u32>;
@group(0) @binding(4) var<storage, read> flags: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> carryOut: array<u32>;
@group(0) @binding(7) var<storage, read_write> states: array<u32>;

/// Flags of a position counted over batch and time.
fn flagsAt(position: u32) -> u32 {
  if (params.flags == 0u) { return 1u; }
  return interpret(flags[position]);
}

/// The bits of the maximum after a position: `state` unless c takes over.
fn advance(state: u32, c: u32, flag: u32) -> u32 {
  let before = select(state, NOTHING, (flag & 2u) != 0u);
  return select(before, c, (flag & 1u) != 0u && orderKey(c) >= orderKey(before));
}

/// m in arithmetic.
fn value(state: u32) -> f32 {
  return bitcast<f32>(select(select(state, bitcast<u32>(params.cap), over(state)), 0u, state == NOTHING));
}

/// Whether the cap stands for a state, by order keys: NaN has the highest one, and is above no cap.
fn over(state: u32) -> bool {
  let key = orderKey(state);
  return CAPPED != 0u && key > orderKey(bitcast<u32>(params.cap)) && key != orderKey(0x7fc00000u);
}

/// Where `states` keeps the state before position t of a row.
fn slot(batch: u32, channel: u32, t: u32) -> u32 {
  return (batch * ((params.length + PERIOD - 1u) / PERIOD) + t / PERIOD) * params.channels + channel;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxState(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let row = id % params.rows;
  let first = id / params.rows * params.chunk;
  let end = min(first + params.chunk, params.length);
  let width = params.channels;
  let batch = row / width;
  let channel = row % width;
  let alpha25 = alphas[1] + alphas[4];
  var state = NOTHING;
  if (first > 0u) { state = states[slot(batch, channel, first)]; }
  else if (params.hasCarry != 0u) { state = carryIn[row]; }
  for (var start = first; start < end; start += AHEAD) {
    if (start % PERIOD == 0u) { states[slot(batch, channel, start)] = state; }
    var at = (batch * params.length + start) * 3u * width + channel;
    var a: array<f32, AHEAD>;
    var b: array<f32, AHEAD>;
    var c: array<u32, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) {
      if (start + i < end) {
        a[i] = bitcast<f32>(abc[at]);
        b[i] = bitcast<f32>(abc[at + width]);
        c[i] = abc[at + 2u * width];
      }
      at += 3u * width;
    }
    for (var i = 0u; i < AHEAD; i++) {
      if (start + i < end) {
        let position = batch * params.length + start + i;
        state = advance(state, c[i], flagsAt(position));
        let m = value(state);
        let cf = bitcast<f32>(c[i]);
        y[position * width + channel] =
          alphas[0] * b[i] + alphas[2] * a[i] + alphas[3] * cf + (alpha25 + a[i] + b[i] + cf) * m;
      }
    }
  }
  if (end == params.length) { carryOut[row] = state; }
}

// --- Forward, four channels per invocation. ---

@group(0) @binding(1) var<storage, read> abc4: array<vec4u>;
@group(0) @binding(3) var<storage, read> carryIn4: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> y4: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> carryOut4: array<vec4u>;
@group(0) @binding(7) var<storage, read_write> states4: array<vec4u>;

fn advance4(state: vec4u, c: vec4u, flag: u32) -> vec4u {
  var before = state;
  if ((flag & 2u) != 0u) { before = vec4u(NOTHING); }
  if ((flag & 1u) == 0u) { return before; }
  return select(before, c, orderKey4(c) >= orderKey4(before));
}

fn value4(state: vec4u) -> vec4f {
  let capped = select(state, vec4u(bitcast<u32>(params.cap)), over4(state));
  return bitcast<vec4f>(select(capped, vec4u(0u), state == vec4u(NOTHING)));
}

fn over4(state: vec4u) -> vec4<bool> {
  if (CAPPED == 0u) { return vec4<bool>(false); }
  let key = orderKey4(state);
  return (key > vec4u(orderKey(bitcast<u32>(params.cap)))) & (key != vec4u(orderKey(0x7fc00000u)));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let quad = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (quad >= params.rows / 4u) { return; }
  let width = params.channels / 4u;
  let batch = quad / width;
  let channel = quad % width;
  let alpha25 = alphas[1] + alphas[4];
  var state = vec4u(NOTHING);
  if (params.hasCarry != 0u) { state = carryIn4[quad]; }
  let slots = (params.length + PERIOD - 1u) / PERIOD;
  var at = batch * params.length * 3u * width + channel;
  for (var t = 0u; t < params.length; t++) {
    if (t % PERIOD == 0u) { states4[(batch * slots + t / PERIOD) * width + channel] = state; }
    let position = batch * params.length + t;
    let a = bitcast<vec4f>(abc4[at]);
    let b = bitcast<vec4f>(abc4[at + width]);
    let bits = abc4[at + 2u * width];
    let c = bitcast<vec4f>(bits);
    state = advance4(state, bits, flagsAt(position));
    let m = value4(state);
    y4[position * width + channel] = alphas[0] * b + alphas[2] * a + alphas[3] * c + (alpha25 + a + b + c) * m;
    at += 3u * width;
  }
  carryOut4[quad] = state;
}

// --- Chunks of few rows: the maximum of each, then the state before each. ---

@group(0) @binding(2) var<storage, read> chunkFlags: array<u32>;
@group(0) @binding(3) var<storage, read_write> totals: array<u32>;   // shaped like states; used where a chunk begins
@group(0) @binding(4) var<storage, read_write> cuts: array<u32>;     // [chunks, batch]: 1 = a document begins inside

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateReduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let row = id % params.rows;
  let first = id / params.rows * params.chunk;
  let batch = row / params.channels;
  let channel = row % params.channels;
  var state = NOTHING;
  var cut = 0u;
  for (var t = first; t < min(first + params.chunk, params.length); t++) {
    let position = batch * params.length + t;
    var flag = 1u;
    if (params.flags != 0u) { flag = interpret(chunkFlags[position]); }
    state = advance(state, abc[(position * 3u + 2u) * params.channels + channel], flag);
    cut |= flag >> 1u;
  }
  totals[slot(batch, channel, first)] = state;
  if (channel == 0u) { cuts[id / params.rows * (params.rows / params.channels) + batch] = cut; }
}

@group(0) @binding(1) var<storage, read> firstCarry: array<u32>;
@group(0) @binding(2) var<storage, read> chunkCuts: array<u32>;
@group(0) @binding(3) var<storage, read_write> prefixes: array<u32>;  // in: totals; out: the state before each chunk

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateCarry(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let batch = row / params.channels;
  var state = NOTHING;
  if (params.hasCarry != 0u) { state = firstCarry[row]; }
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = slot(batch, row % params.channels, chunk * params.chunk);
    let total = prefixes[at];
    prefixes[at] = state;
    // Nothing was seen in a chunk whose total is NOTHING: it cannot win against a state, and a tie changes no bit.
    let cut = chunkCuts[chunk * (params.rows / params.channels) + batch] != 0u;
    state = advance(state, total, select(1u, 3u, cut));
  }
}

// --- Backward: from the last position to the first, PERIOD positions at a time. ---
// A chunk hands what it did not pay out to the chunk before it: `maxStateBackwardReduce` computes each chunk's own rest
// and whether anything from its right can pass through, `maxStateBackwardCarry` adds these up.

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;          // abc
@group(0) @binding(3) var<storage, read> weights: array<f32>;         // alphas
@group(0) @binding(4) var<storage, read> saved: array<u32>;           // states
@group(0) @binding(5) var<storage, read> allFlags: array<u32>;
@group(0) @binding(6) var<storage, read_write> dabc: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;      // [chunks, rows]. In: from the right; out: the rest
@group(0) @binding(8) var<storage, read_write> partials: array<f32>;  // [4, items]: sums of dy b, dy m, dy a, dy c

fn flagsFor(position: u32) -> u32 {
  if (params.flags == 0u) { return 1u; }
  return interpret(allFlags[position]);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let row = id % params.rows;
  let first = id / params.rows * params.chunk;
  let width = params.channels;
  let batch = row / width;
  let channel = row % width;
  let alpha25 = weights[1] + weights[4];
  var rest = 0.0;
  if (params.chunks > 1u || params.hasCarry != 0u) { rest = sums[id]; }
  var dAlpha = vec4f(0.0);
  var end = min(first + params.chunk, params.length);
  while (end > first) {
    let start = (end - 1u) / PERIOD * PERIOD;
    let origin = batch * params.length + start;
    var c: array<u32, PERIOD>;
    var m: array<u32, PERIOD>;
    for (var i = 0u; i < PERIOD; i++) {
      if (start + i < end) { c[i] = values[((origin + i) * 3u + 2u) * width + channel]; }
    }
    var state = saved[slot(batch, channel, start)];
    for (var i = 0u; i < PERIOD; i++) {
      if (start + i < end) {
        state = advance(state, c[i], flagsFor(origin + i));
        m[i] = state;
      }
    }
    for (var block = PERIOD; block > 0u; block -= AHEAD) {
      var a: array<f32, AHEAD>;
      var b: array<f32, AHEAD>;
      var g: array<f32, AHEAD>;
      for (var k = 0u; k < AHEAD; k++) {
        let i = block - 1u - k;
        if (start + i < end) {
          a[k] = bitcast<f32>(values[(origin + i) * 3u * width + channel]);
          b[k] = bitcast<f32>(values[((origin + i) * 3u + 1u) * width + channel]);
          g[k] = dy[(origin + i) * width + channel];
        }
      }
      for (var k = 0u; k < AHEAD; k++) {
        let i = block - 1u - k;
        if (start + i < end) {
          let flag = flagsFor(origin + i);
          let cf = bitcast<f32>(c[i]);
          let mf = value(m[i]);
          let at = (origin + i) * 3u * width + channel;
          rest += select(g[k] * (alpha25 + a[k] + b[k] + cf), 0.0, m[i] == NOTHING || over(m[i]));
          let takes = (flag & 1u) != 0u && orderKey(c[i]) == orderKey(m[i]);
          dabc[at] = g[k] * (weights[2] + mf);
          dabc[at + width] = g[k] * (weights[0] + mf);
          dabc[at + 2u * width] = g[k] * (weights[3] + mf) + select(0.0, rest, takes);
          rest = select(rest, 0.0, takes || (flag & 2u) != 0u);
          dAlpha += g[k] * vec4f(b[k], mf, a[k], cf);
        }
      }
    }
    end = start;
  }
  sums[id] = rest;
  for (var i = 0u; i < 4u; i++) { partials[i * params.items + id] = dAlpha[i]; }
}

// --- Backward, four channels per invocation. ---

@group(0) @binding(1) var<storage, read> dy4: array<vec4f>;
@group(0) @binding(2) var<storage, read> values4: array<vec4u>;
@group(0) @binding(4) var<storage, read> saved4: array<vec4u>;
@group(0) @binding(6) var<storage, read_write> dabc4: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> sums4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateBackwardQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                         @builtin(local_invocation_index) local: u32) {
  let quad = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (quad >= params.rows / 4u) { return; }
  let width = params.channels / 4u;
  let batch = quad / width;
  let channel = quad % width;
  let alpha25 = weights[1] + weights[4];
  let slots = (params.length + PERIOD - 1u) / PERIOD;
  var rest = vec4f(0.0);
  if (params.hasCarry != 0u) { rest = sums4[quad]; }
  var dAlpha1 = vec4f(0.0);
  var dAlpha2 = vec4f(0.0);
  var dAlpha3 = vec4f(0.0);
  var dAlpha4 = vec4f(0.0);
  var end = params.length;
  while (end > 0u) {
    let start = (end - 1u) / PERIOD * PERIOD;
    let origin = batch * params.length + start;
    var m: array<vec4u, PERIOD>;
    var state = saved4[(batch * slots + start / PERIOD) * width + channel];
    for (var i = 0u; i < end - start; i++) {
      state = advance4(state, values4[((origin + i) * 3u + 2u) * width + channel], flagsFor(origin + i));
      m[i] = state;
    }
    for (var i = end - start; i > 0u; i--) {
      let position = origin + i - 1u;
      let at = position * 3u * width + channel;
      let flag = flagsFor(position);
      let a = bitcast<vec4f>(values4[at]);
      let b = bitcast<vec4f>(values4[at + width]);
      let bits = values4[at + 2u * width];
      let c = bitcast<vec4f>(bits);
      let g = dy4[position * width + channel];
      let max = m[i - 1u];
      let mf = value4(max);
      rest += select(g * (alpha25 + a + b + c), vec4f(0.0), (max == vec4u(NOTHING)) | over4(max));
      let takes = (orderKey4(bits) == orderKey4(max)) & vec4<bool>((flag & 1u) != 0u);
      dabc4[at] = g * (weights[2] + mf);
      dabc4[at + width] = g * (weights[0] + mf);
      dabc4[at + 2u * width] = g * (weights[3] + mf) + select(vec4f(0.0), rest, takes);
      rest = select(rest, vec4f(0.0), takes | vec4<bool>((flag & 2u) != 0u));
      dAlpha1 += g * b;
      dAlpha2 += g * mf;
      dAlpha3 += g * a;
      dAlpha4 += g * c;
    }
    end = start;
  }
  sums4[quad] = rest;
  let one = vec4f(1.0);
  partials[quad] = dot(dAlpha1, one);
  partials[params.items + quad] = dot(dAlpha2, one);
  partials[2u * params.items + quad] = dot(dAlpha3, one);
  partials[3u * params.items + quad] = dot(dAlpha4, one);
}

@group(0) @binding(6) var<storage, read_write> rests: array<f32>;     // [chunks, rows]
@group(0) @binding(7) var<storage, read_write> open: array<u32>;      // [chunks, rows]: 1 = what comes from the right passes

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateBackwardReduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                          @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.chunks) { return; }
  let row = id % params.rows;
  let first = id / params.rows * params.chunk;
  let width = params.channels;
  let batch = row / width;
  let channel = row % width;
  // Only what comes before the first position that takes over or begins a document gets out on the left; so the walk
  // may go forward and stop there.
  var state = saved[slot(batch, channel, first)];
  var rest = 0.0;
  var passes = 1u;
  for (var t = first; t < min(first + params.chunk, params.length); t++) {
    let position = batch * params.length + t;
    let at = position * 3u * width + channel;
    let flag = flagsFor(position);
    let c = values[at + 2u * width];
    state = advance(state, c, flag);
    if ((flag & 2u) != 0u || ((flag & 1u) != 0u && orderKey(c) == orderKey(state))) {
      passes = 0u;
      break;
    }
    let sum = weights[1] + weights[4] + bitcast<f32>(values[at]) + bitcast<f32>(values[at + width]) + bitcast<f32>(c);
    rest += select(dy[position * width + channel] * sum, 0.0, state == NOTHING || over(state));
  }
  rests[id] = rest;
  open[id] = passes;
}

@group(0) @binding(1) var<storage, read> lastCarry: array<f32>;       // dCarryOut
@group(0) @binding(2) var<storage, read> passable: array<u32>;
@group(0) @binding(3) var<storage, read_write> incoming: array<f32>;  // in: rests; out: what comes from the right

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateBackwardCarry(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                         @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  var sum = 0.0;
  if (params.hasCarry != 0u) { sum = lastCarry[row]; }
  for (var chunk = params.chunks; chunk > 0u; chunk--) {
    let at = (chunk - 1u) * params.rows + row;
    let rest = incoming[at];
    incoming[at] = sum;
    sum = rest + select(0.0, sum, passable[at] != 0u);
  }
}

// --- The sums for the alphas: what each invocation left, then SPAN sums each, then one. Always in the same order. ---

@group(0) @binding(1) var<storage, read> leftSums: array<f32>;        // [4, items]
@group(0) @binding(2) var<storage, read_write> spans: array<f32>;     // [4, SPAN]

@compute @workgroup_size(WORKGROUP_SIZE)
fn maxStateSpans(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= 4u * SPAN) { return; }
  var sum = 0.0;
  for (var i = id % SPAN; i < params.items; i += SPAN) { sum += leftSums[id / SPAN * params.items + i]; }
  spans[id] = sum;
}

@group(0) @binding(1) var<storage, read> spanSums: array<f32>;
@group(0) @binding(2) var<storage, read_write> dAlphas: array<f32>;

@compute @workgroup_size(8)
fn maxStateAlphas(@builtin(local_invocation_index) i: u32) {
  if (i >= 5u) { return; }
  let k = select(i, 1u, i == 4u);   // alpha2 and alpha5 multiply the same m
  var sum = 0.0;
  for (var s = 0u; s < SPAN; s++) { sum += spanSums[k * SPAN + s]; }
  dAlphas[i] = sum;
}
