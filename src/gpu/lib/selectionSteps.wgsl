// The steps of a selection that do not depend on where the keys come from; lib/selection.wgsl has the outline.
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl

@group(0) @binding(6) var<storage, read_write> sampled: array<u32>;      // [rows, sampleSize]
@group(0) @binding(7) var<storage, read_write> tally: array<vec2u>;      // [rows, chunks]

/// Count the digits of the sampled keys at level 1 or 2; level 0 is counted while the sample is taken.
@compute @workgroup_size(EIGHT)
fn countSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  let chunk = id % (params.chunks / EIGHT) * EIGHT + local;
  let picked = pickBefore(row, 0u, params.level, chunk == 0u);
  if (picked.y == 0u) { return; }
  let place = digitPlace(row, 0u, params.level);
  let end = min((chunk + 1u) * params.chunk, params.sampleSize);
  for (var s = chunk * params.chunk; s < end; s++) {
    let key = sampled[row * params.sampleSize + s];
    if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&digits[place + digitOf(key, params.level)], 1u); }
  }
}

/// How many entries are above the threshold, how many at it, and so: which are candidates, and where each chunk puts its
/// own. In: tally = (above, at) per chunk. Out: (place of its first candidate, how many of its ties are wanted).
@compute @workgroup_size(EIGHT)
fn decide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * EIGHT + local;
  if (row >= params.rows) { return; }
  let own = row * STATE;
  if (params.attempt == 1u && state[own + STATUS] != RETRY) { return; }
  var above = 0u;
  var at = 0u;
  for (var c = 0u; c < params.chunks; c++) {
    let t = tally[row * params.chunks + c];
    above += t.x;
    at += t.y;
  }
  var ties = ALL;
  var found = above + at;
  if (above < params.k && params.k <= found) {
    ties = params.k - above;   // the threshold is the k-th key itself: exactly k candidates, ties by index
    found = params.k;
  }
  let tooFew = found < params.k && state[own + THRESHOLD] > 1u;
  if (tooFew || found > params.capacity) {
    state[own + STATUS] = RETRY;
    return;
  }
  state[own + STATUS] = READY;
  state[own + TIES] = ties;
  state[own + FOUND] = found;
  above = 0u;
  at = 0u;
  for (var c = 0u; c < params.chunks; c++) {
    let t = tally[row * params.chunks + c];
    let before = min(at, ties);
    tally[row * params.chunks + c] = vec2u(above + before, ties - before);
    above += t.x;
    at += t.y;
  }
}

// --- Putting candidates in order. They come by ascending index, so a stable sort by key alone gives the total order. ---

@group(0) @binding(6) var<storage, read_write> unsorted: array<vec2u>;   // [rows, capacity]: (key, index)
@group(0) @binding(7) var<storage, read_write> ordered: array<vec2u>;
@group(0) @binding(8) var<storage, read_write> bins: array<u32>;         // [rows, parts + 1, BINS]

/// The first k of a row's candidates by insertion, for small k. One invocation per row.
@compute @workgroup_size(EIGHT)
fn sortFew(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * EIGHT + local;
  if (row >= params.rows) { return; }
  let base = row * params.capacity;
  let found = state[row * STATE + FOUND];
  var size = 0u;
  var worst = 0u;   // the last key of a full list
  for (var c = 0u; c < found; c++) {
    let entry = unsorted[base + c];
    if (size < params.k || entry.x > worst) {
      var j = min(size, params.k - 1u);
      while (j > 0u && ordered[base + j - 1u].x < entry.x) {
        ordered[base + j] = ordered[base + j - 1u];
        j--;
      }
      ordered[base + j] = entry;
      size = min(size + 1u, params.k);
      worst = ordered[base + size - 1u].x;
    }
  }
  if (params.level == BY_INDEX) {
    for (var c = 1u; c < size; c++) {
      let entry = ordered[base + c];
      var j = c;
      while (j > 0u && ordered[base + j - 1u].y > entry.y) {
        ordered[base + j] = ordered[base + j - 1u];
        j--;
      }
      ordered[base + j] = entry;
    }
  }
}

/// How a row's candidates are sorted: by three digits of `width` bits each, in `parts` parts of `piece` candidates.
/// Levels 0 to 2 sort by (largest key - key); levels 3 to 5 put the first k of the result back in order of index.
struct SortShape { largest: u32, width: u32, parts: u32, piece: u32, found: u32 }

fn sortShape(row: u32, largest: u32) -> SortShape {
  let own = row * STATE;
  var span = largest - max(state[own + THRESHOLD], 1u);
  var found = state[own + FOUND];
  if (params.level >= BY_INDEX) {
    span = params.length;
    found = min(found, params.k);
  }
  let width = max((32u - countLeadingZeros(span) + 2u) / 3u, 1u);
  // Counting costs 2^width steps per part: let no part have fewer candidates than that.
  let parts = clamp(found >> max(width, 5u), 1u, params.parts);
  return SortShape(largest, width, parts, (found + parts - 1u) / parts, found);
}

fn sortDigit(shape: SortShape, entry: vec2u) -> u32 {
  let ascending = select(shape.largest - entry.x, entry.y, params.level >= BY_INDEX);
  return (ascending >> (params.level % BY_INDEX * shape.width)) & ((1u << shape.width) - 1u);
}

fn binsOf(row: u32, part: u32) -> u32 { return (row * (params.parts + 1u) + part) * BINS; }

/// The largest key of a row, from what `collect` left in the tallies.
fn largestKey(row: u32) -> u32 {
  var largest = 0u;
  for (var c = 0u; c < params.chunks; c++) { largest = max(largest, tally[row * params.chunks + c].y); }
  return largest;
}

/// Count the digits of every part.
@compute @workgroup_size(EIGHT)
fn sortCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let lane = laneOf(id, local, params.parts);
  if (!lane.works) { return; }
  var largest = 0u;
  if (params.level > 0u) { largest = state[lane.row * STATE + LARGEST]; }
  else if (params.parts > 1u) { largest = largestKey(rowOfGroup(id, params.parts)); }
  else { largest = largestKey(lane.row); }
  if (lane.chunk == 0u) { state[lane.row * STATE + LARGEST] = largest; }
  let shape = sortShape(lane.row, largest);
  if (lane.chunk >= shape.parts) { return; }
  let mine = binsOf(lane.row, lane.chunk);
  for (var digit = 0u; digit < (1u << shape.width); digit++) { bins[mine + digit] = 0u; }
  let base = lane.row * params.capacity;
  let end = min((lane.chunk + 1u) * shape.piece, shape.found);
  for (var c = lane.chunk * shape.piece; c < end; c++) {
    let digit = mine + sortDigit(shape, unsorted[base + c]);
    bins[digit] = bins[digit] + 1u;
  }
}

/// Per digit: running totals over the parts, and the whole total behind the last part.
@compute @workgroup_size(EIGHT)
fn sortScan(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = id / (BINS / EIGHT);
  if (row >= params.rows) { return; }
  let shape = sortShape(row, state[row * STATE + LARGEST]);
  let digit = id % (BINS / EIGHT) * EIGHT + local;
  if (digit >= (1u << shape.width)) { return; }
  var total = 0u;
  for (var part = 0u; part < shape.parts; part++) {
    let place = binsOf(row, part) + digit;
    let here = bins[place];
    bins[place] = total;
    total += here;
  }
  bins[binsOf(row, params.parts) + digit] = total;
}

/// Move every candidate to its place.
@compute @workgroup_size(EIGHT)
fn sortMove(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.parts);
  if (!lane.works) { return; }
  let shape = sortShape(lane.row, state[lane.row * STATE + LARGEST]);
  if (lane.chunk >= shape.parts) { return; }
  let mine = binsOf(lane.row, lane.chunk);
  let totals = binsOf(lane.row, params.parts);
  var before = 0u;
  for (var digit = 0u; digit < (1u << shape.width); digit++) {
    bins[mine + digit] += before;
    before += bins[totals + digit];
  }
  let base = lane.row * params.capacity;
  let end = min((lane.chunk + 1u) * shape.piece, shape.found);
  for (var c = lane.chunk * shape.piece; c < end; c++) {
    let entry = unsorted[base + c];
    let digit = mine + sortDigit(shape, entry);
    let place = bins[digit];
    bins[digit] = place + 1u;
    ordered[base + place] = entry;
  }
}

/// Before the next block of results: remember the last entry of this one.
@compute @workgroup_size(EIGHT)
fn advance(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * EIGHT + local;
  if (row >= params.rows) { return; }
  let own = row * STATE;
  let taken = min(state[own + FOUND], params.k);
  // Nothing comes after (0, 0): a row that ran out stays so.
  var last = vec2u(0u, 0u);
  if (taken > 0u) { last = ordered[row * params.capacity + taken - 1u]; }
  state[own + LAST_KEY] = last.x;
  state[own + LAST_INDEX] = last.y;
  state[own + STATUS] = 0u;
  state[own + THRESHOLD] = 0u;
}
