// topK: the kernels that read x, and the one that writes the results. x is seen as [outer, length, inner].
//
// These are serial: one invocation owns one (row, chunk) and runs over it alone, without barriers or shared memory;
// topK.tiles.wgsl has those for GPUs. Source: radix selection (Alabi et al., Fast k-selection algorithms for graphics
// processing units, 2012) behind a threshold from a sample (Floyd and Rivest, 1975).
// @uses lib/order.wgsl
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl
// @uses lib/topKKeys.wgsl

@group(0) @binding(6) var<storage, read_write> sample: array<i32>;       // [rows, sampleSize]: signed keys

/// Take the sample of a row: each of its keys is the largest of `draws` entries, one out of every `stride` each. Here a
/// chunk is one of the sample.
@compute @workgroup_size(WORKGROUP)
fn topKSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let view = viewOf(lane.row);
  let end = min((lane.chunk + 1u) * params.chunk, params.sampleSize);
  for (var s = lane.chunk * params.chunk; s < end; s++) {
    let place = lane.row * params.sampleSize + s;
    var largest = 0u;
    for (var draw = s * params.draws; draw < (s + 1u) * params.draws; draw++) {
      let index = drawnPosition(draw);
      if (inWindow(index)) { largest = max(largest, keyAt(view, index)); }
    }
    // Windows come one after the other.
    if (params.first == 0u) { sample[place] = signedKey(largest); }
    else { sample[place] = max(sample[place], signedKey(largest)); }
  }
}

/// Count the digits of the whole row at a level.
@compute @workgroup_size(WORKGROUP)
fn topKCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  if (params.attempt == BY_COUNTING && !mustRetry(row)) { return; }
  let chunk = id % (params.chunks / WORKGROUP) * WORKGROUP + local;
  let picked = pickBefore(row, params.level, chunk == 0u);
  let first = chunk * params.chunk;
  if (picked.y == 0u || !inWindow(first)) { return; }
  let place = digitPlace(row, params.level);
  let view = viewOf(row);
  let end = min(first + params.chunk, params.length);
  for (var i = first; i < end; i++) {
    let key = keyAt(view, i);
    if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&digits[place + digitOf(key, params.level)], 1u); }
  }
}

@group(0) @binding(6) var<storage, read_write> marks: array<u32>;        // [rows, words]: one bit per entry
@group(0) @binding(7) var<storage, read_write> tallies: array<vec2u>;    // [rows, chunks]: see mark, decide
@group(0) @binding(8) var<storage, read_write> candidates: array<vec2u>; // [rows, room]: (key, index)

/// Mark every entry that reaches the threshold, one bit each, and tally (above, at) per chunk.
@compute @workgroup_size(WORKGROUP)
fn topKMark(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let lane = laneOf(id, local, params.chunks);
  if (!lane.works) { return; }
  if (params.attempt == BY_COUNTING && !mustRetry(lane.row)) { return; }
  var threshold = 1u;
  if (params.chunks > 1u) { threshold = thresholdFor(rowOfGroup(id, params.chunks)); }
  else { threshold = thresholdFor(lane.row); }
  if (lane.chunk == 0u) { state[lane.row * STATE + THRESHOLD] = threshold; }
  let mine = lane.row * params.chunks + lane.chunk;
  let first = lane.chunk * params.chunk;
  if (first >= params.length) { tallies[mine] = vec2u(0u); }
  if (first >= params.length || !inWindow(first)) { return; }
  let end = min(first + params.chunk, params.length);
  let view = viewOf(lane.row);
  var above = 0u;
  var at = 0u;
  for (var start = first; start < end; start += 32u) {
    var bits = 0u;
    if (VECTOR && start + 32u <= end) {
      // Four entries per load cost a CPU's gather less than four loads.
      let place = placeOf(view, start) / 4u;
      for (var j = 0u; j < 8u; j++) {
        let keys = selectionKeys(x4[place + j]);
        let reaches = select(vec4u(0u), vec4u(1u, 2u, 4u, 8u), keys >= vec4u(threshold));
        let equals = select(vec4u(0u), vec4u(1u), keys == vec4u(threshold));
        bits |= (reaches.x | reaches.y | reaches.z | reaches.w) << (j * 4u);
        at += equals.x + equals.y + equals.z + equals.w;
      }
    } else {
      for (var j = 0u; j < min(32u, end - start); j++) {
        let key = keyAt(view, start + j);
        bits |= select(0u, 1u, key >= threshold) << j;
        at += select(0u, 1u, key == threshold);
      }
    }
    marks[wordOf(lane.row, lane.chunk, (start - first) / 32u)] = bits;
    above += countOneBits(bits);
  }
  tallies[mine] = vec2u(above - at, at);
}

/// Collect the candidates of every chunk, by ascending index: all above the threshold, and the ties that are wanted.
/// Leaves the chunk's largest key in its tally.
@compute @workgroup_size(WORKGROUP)
fn topKCollect(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let first = lane.chunk * params.chunk;
  let mine = lane.row * params.chunks + lane.chunk;
  if (first >= params.length) { tallies[mine].y = 0u; }
  if (first >= params.length || !inWindow(first)) { return; }
  let threshold = state[lane.row * STATE + THRESHOLD];
  var place = lane.row * params.room + tallies[mine].x;
  var ties = tallies[mine].y;
  var largest = 0u;
  let view = viewOf(lane.row);
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += 32u) {
    var bits = marks[wordOf(lane.row, lane.chunk, (start - first) / 32u)];
    while (bits != 0u) {
      let index = start + firstTrailingBit(bits);
      bits &= bits - 1u;
      let key = keyAt(view, index);
      if (key == threshold) {
        if (ties == 0u) { continue; }
        ties--;
      }
      candidates[place] = vec2u(key, index);
      place++;
      largest = max(largest, key);
    }
  }
  tallies[mine].y = largest;
}

@group(0) @binding(5) var<storage, read_write> emittedIndices: array<u32>;
@group(0) @binding(8) var<storage, read_write> emittedValues: array<u32>;

/// Write the wanted entries straight from x, by ascending index: for sets that are too large to be candidates first.
@compute @workgroup_size(WORKGROUP)
fn topKEmit(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let first = lane.chunk * params.chunk;
  if (first >= params.length || !inWindow(first)) { return; }
  let threshold = state[lane.row * STATE + THRESHOLD];
  let mine = tallies[lane.row * params.chunks + lane.chunk];
  var slot = mine.x;
  var ties = mine.y;
  let view = viewOf(lane.row);
  let firstSlot = resultPlace(lane.row, 0u);
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += 32u) {
    var bits = marks[wordOf(lane.row, lane.chunk, (start - first) / 32u)];
    while (bits != 0u) {
      let index = start + firstTrailingBit(bits);
      bits &= bits - 1u;
      if (keyAt(view, index) == threshold) {
        if (ties == 0u) { continue; }
        ties--;
      }
      let place = firstSlot + slot * params.inner;
      slot++;
      if (place < params.outLength) {
        emittedIndices[place] = index;
        emittedValues[place] = x[placeOf(view, index)];
      }
    }
  }
}

@group(0) @binding(5) var<storage, read_write> counts: array<u32>;       // [rows]
@group(0) @binding(6) var<storage, read_write> best: array<vec2u>;       // [rows, room]: (key, index), the results
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<storage, read_write> indices: array<u32>;

/// Write a block of results: indices, and the values they point at as far as they lie in the bound window of x.
/// At level 1 the results are there already, and only what follows them is padded.
@compute @workgroup_size(WORKGROUP)
fn topK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let at = resultOf(linearGroup(group, groups), local);
  if (!at.works) { return; }
  let row = at.row;
  let j = at.slot;
  let found = min(state[row * STATE + FOUND], params.k);
  // A row that ran out in an earlier block has its count already.
  if (j == 0u && (found > 0u || params.slot == 0u)) { counts[params.countOrigin + row] = params.slot + found; }
  let place = resultPlace(row, params.slot + j);
  if (place >= params.outLength) { return; }
  if (j >= found) {
    indices[place] = 0xffffffffu;
    values[place] = 0xff800000u;   // the bits of -infinity
  } else if (params.level == 0u) {
    let index = best[row * params.room + j].y;
    indices[place] = index;
    if (inWindow(index)) { values[place] = x[placeOf(viewOf(row), index)]; }
  }
}

// --- Few results of each of many rows: everything by one invocation per row. ---
// The row is cut into 64 blocks, and the largest key of each leads it. The k-th largest leader is a threshold that at
// least k entries reach, and blocks with smaller leaders need not be read again (Gaihre et al., Dr. Top-k, 2021). Loops
// run alike for all rows: a CPU does eight of them at a time, and goes every way that any of them takes.

const LEADERS: u32 = 64u;
const HOLD: u32 = 64u;            // entries held before they are brought down to k <= 32

var<private> leaders: array<u32, LEADERS>;
var<private> blocks: array<u32, LEADERS>;
var<private> held: array<vec2u, HOLD>;       // (key, index), by ascending index
var<private> ranked: array<vec2u, HOLD>;      // the best of them, in order

/// Put the best k of the entries held in order; returns how many there are. Without sorting: the next one is the best of
/// those that come after the last.
fn bestHeld(size: u32) -> u32 {
  let wanted = min(size, params.k);
  var last = vec2u(ALL, 0u);
  for (var j = 0u; j < wanted; j++) {
    var next = vec2u(0u, ALL);
    for (var h = 0u; h < size; h++) {
      let entry = held[h];
      let follows = comesBefore(last.x, last.y, entry.x, entry.y);
      if (follows && comesBefore(entry.x, entry.y, next.x, next.y)) { next = entry; }
    }
    ranked[j] = next;
    last = next;
  }
  return wanted;
}

@group(0) @binding(6) var<storage, read_write> fewBest: array<vec2u>;    // [rows, room]: (key, index), the results

/// Here a chunk is one block.
@compute @workgroup_size(WORKGROUP)
fn topKFew(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  let view = viewOf(row);
  for (var c = 0u; c < params.chunks; c++) {
    let end = min((c + 1u) * params.chunk, params.length);
    var i = c * params.chunk;
    var leader4 = vec4u(0u);
    if (VECTOR) {
      for (; i + 4u <= end; i += 4u) { leader4 = max(leader4, selectionKeys(x4[placeOf(view, i) / 4u])); }
    }
    var leader = max(max(leader4.x, leader4.y), max(leader4.z, leader4.w));
    for (; i < end; i++) { leader = max(leader, keyAt(view, i)); }
    leaders[c] = leader;
  }
  // The k-th largest of different leaders: equal ones only lower it.
  var threshold = ALL;
  for (var j = 0u; j < params.k; j++) {
    var next = 0u;
    for (var c = 0u; c < params.chunks; c++) { next = max(next, select(0u, leaders[c], leaders[c] < threshold)); }
    threshold = next;
  }
  threshold = max(threshold, 1u);
  var hits = 0u;
  for (var c = 0u; c < params.chunks; c++) {
    blocks[hits] = c;
    hits += select(0u, 1u, leaders[c] >= threshold);
    if (hits == LEADERS) { break; }
  }
  var size = 0u;
  for (var h = 0u; h < hits; h++) {
    let end = min((blocks[h] + 1u) * params.chunk, params.length);
    for (var i = blocks[h] * params.chunk; i < end; i++) {
      let key = keyAt(view, i);
      if (key >= threshold) {
        held[size] = vec2u(key, i);
        size++;
        if (size == HOLD) {
          // Too many, as with ties. Entries that are still to come have larger indices: they must beat the k-th.
          size = bestHeld(HOLD);
          threshold = ranked[size - 1u].x + 1u;
          for (var j = 0u; j < size; j++) { held[j] = ranked[j]; }
        }
      }
    }
  }
  size = bestHeld(size);
  state[row * STATE + FOUND] = size;
  // As a set: by ascending index.
  for (var j = 1u; params.level == BY_INDEX && j < size; j++) {
    let entry = ranked[j];
    var to = j;
    for (; to > 0u && ranked[to - 1u].y > entry.y; to--) { ranked[to] = ranked[to - 1u]; }
    ranked[to] = entry;
  }
  for (var j = 0u; j < size; j++) { fewBest[row * params.room + j] = ranked[j]; }
}

// --- Backward: every index occurs once in a row, so each gradient has a place of its own. dx was cleared before. ---

struct BackwardParams {
  count: u32,    // gradients in the bound window,
  start: u32,    // the first of which has this number in the tensor
  slots: u32,
  inner: u32,
  length: u32,
  to: u32,       // the first element of dx in its window
  room: u32,     // elements in that window
}

@group(0) @binding(0) var<uniform> backward: BackwardParams;
@group(0) @binding(1) var<storage, read> dValues: array<u32>;
@group(0) @binding(2) var<storage, read> owners: array<i32>;
@group(0) @binding(3) var<storage, read_write> dx: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn topKBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let at = linearGroup(group, groups) * WORKGROUP + local;
  if (at >= backward.count) { return; }
  let owner = owners[at];
  if (owner < 0 || u32(owner) >= backward.length) { return; }
  let number = backward.start + at;
  let outer = number / (backward.slots * backward.inner);
  let place = (outer * backward.length + u32(owner)) * backward.inner + number % backward.inner - backward.to;
  if (place < backward.room) { dx[place] = dValues[at]; }
}
