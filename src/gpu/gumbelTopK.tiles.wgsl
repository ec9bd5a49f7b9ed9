// gumbelTopK for GPUs: kernels with shared memory, a workgroup of 256 for a chunk of up to 8192 entries, or for a short
// row. They do what their serial namesakes in gumbelTopK.wgsl do.
// @uses lib/order.wgsl
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl
// @uses lib/tile.wgsl
// @uses lib/gumbelTopKKeys.wgsl

const WORDS: u32 = 256u;          // words of marks that a chunk has at most
const SHORT_ROW: u32 = 1024u;     // entries of a row that is sorted whole

struct TileChunk { row: u32, chunk: u32, first: u32, end: u32, works: bool }

/// The chunk of a workgroup, if it lies in the bound window.
fn chunkOf(group: u32) -> TileChunk {
  let chunk = group % params.chunks;
  let first = chunk * params.chunk;
  let row = group / params.chunks;
  return TileChunk(row, chunk, first, min(first + params.chunk, params.length),
                   row < params.rows && first < params.length && inWindow(first));
}

var<workgroup> counters: array<atomic<u32>, BINS>;

/// Count the digits of a chunk in shared memory, then add them up.
@compute @workgroup_size(TILE)
fn gumbelTopKCountTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let own = chunkOf(linearGroup(group, groups));
  let row = min(own.row, params.rows - 1u);
  if (tileSays(local, params.attempt == BY_COUNTING && !mustRetry(row))) { return; }
  let picked = pickBefore(row, params.level, own.chunk == 0u && local == 0u && own.row < params.rows);
  for (var digit = local; digit < BINS; digit += TILE) { atomicStore(&counters[digit], 0u); }
  workgroupBarrier();
  if (own.works && picked.y != 0u) {
    for (var i = own.first + local; i < own.end; i += TILE) {
      let key = keyAt(row, i);
      if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&counters[digitOf(key, params.level)], 1u); }
    }
  }
  workgroupBarrier();
  let place = digitPlace(row, params.level);
  for (var digit = local; digit < BINS; digit += TILE) {
    let here = atomicLoad(&counters[digit]);
    if (here > 0u) { atomicAdd(&digits[place + digit], here); }
  }
}

@group(0) @binding(6) var<storage, read_write> marks: array<u32>;
@group(0) @binding(7) var<storage, read_write> tallies: array<vec2u>;

var<workgroup> words: array<atomic<u32>, WORDS>;

/// Mark the entries of a chunk; neighbours load neighbouring entries.
@compute @workgroup_size(TILE)
fn gumbelTopKMarkTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                       @builtin(local_invocation_index) local: u32) {
  let own = chunkOf(linearGroup(group, groups));
  let row = min(own.row, params.rows - 1u);
  if (tileSays(local, params.attempt == BY_COUNTING && !mustRetry(row))) { return; }
  let threshold = thresholdFor(row);
  atomicStore(&words[local], 0u);
  workgroupBarrier();
  var above = 0u;
  var at = 0u;
  if (own.works) {
    let least = leastOf(threshold);
    for (var i = own.first + local; i < own.end; i += TILE) {
      if (least.bounded && !mayReach(row, i, least.value)) { continue; }
      let key = keyAt(row, i);
      if (key >= threshold) {
        atomicOr(&words[(i - own.first) / 32u], 1u << ((i - own.first) % 32u));
        at += select(0u, 1u, key == threshold);
        above++;
      }
    }
  }
  let total = scanTile(local, vec2u(above - at, at)).zw;   // its barriers also complete the words
  if (own.row >= params.rows) { return; }
  if (own.works && local < (params.chunk + 31u) / 32u) {
    marks[wordOf(row, own.chunk, local)] = atomicLoad(&words[local]);
  }
  if (local == 0u) {
    if (own.chunk == 0u) { state[row * STATE + THRESHOLD] = threshold; }
    if (own.works) { tallies[row * params.chunks + own.chunk] = total; }
    if (own.first >= params.length) { tallies[row * params.chunks + own.chunk] = vec2u(0u); }
  }
}

@group(0) @binding(8) var<storage, read_write> candidates: array<vec2u>;

/// Collect the candidates of a chunk: every invocation has one word of marks.
@compute @workgroup_size(TILE)
fn gumbelTopKCollectTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                          @builtin(local_invocation_index) local: u32) {
  let own = chunkOf(linearGroup(group, groups));
  if (!own.works) { return; }
  let threshold = state[own.row * STATE + THRESHOLD];
  var marked = 0u;
  if (local < (params.chunk + 31u) / 32u) { marked = marks[wordOf(own.row, own.chunk, local)]; }
  let start = own.first + local * 32u;
  var seen = vec2u(0u);   // above, at
  for (var bits = marked; bits != 0u; bits &= bits - 1u) {
    let key = keyAt(own.row, start + firstTrailingBit(bits));
    seen += select(vec2u(1u, 0u), vec2u(0u, 1u), key == threshold);
  }
  var before = scanTile(local, seen).xy;
  let mine = tallies[own.row * params.chunks + own.chunk];   // place of the first, ties wanted
  let base = own.row * params.room + mine.x;
  for (var bits = marked; bits != 0u; bits &= bits - 1u) {
    let index = start + firstTrailingBit(bits);
    let key = keyAt(own.row, index);
    let place = base + before.x + min(before.y, mine.y);
    if (key != threshold) {
      candidates[place] = vec2u(key, index);
      before.x++;
    } else {
      if (before.y < mine.y) { candidates[place] = vec2u(key, index); }
      before.y++;
    }
  }
}

// --- Short rows: one workgroup sorts the whole row in shared memory (bitonic) and writes its results. ---

@group(0) @binding(5) var<storage, read_write> counts: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<storage, read_write> indices: array<u32>;

var<workgroup> entries: array<vec2u, SHORT_ROW>;

/// Sort the entries by the total order, or by index alone; `size` is a power of two.
fn sortEntries(local: u32, size: u32, byIndex: bool) {
  for (var block = 2u; block <= size; block *= 2u) {
    for (var distance = block / 2u; distance > 0u; distance /= 2u) {
      for (var pair = local; pair < size / 2u; pair += TILE) {
        let low = pair / distance * distance * 2u + pair % distance;
        let a = entries[low];
        let b = entries[low + distance];
        let wrong = select(comesBefore(b.x, b.y, a.x, a.y), b.y < a.y, byIndex);
        if (wrong == ((low & block) == 0u)) {
          entries[low] = b;
          entries[low + distance] = a;
        }
      }
      workgroupBarrier();   // the next distance pairs others
    }
  }
}

/// Select from a row of at most SHORT_ROW entries. `room` is a power of two, at least its length.
@compute @workgroup_size(TILE)
fn gumbelTopKShort(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }
  var some = 0u;
  for (var i = local; i < params.room; i += TILE) {
    var key = 0u;
    if (i < params.length) { key = keyAt(row, i); }
    entries[i] = vec2u(key, select(ALL, i, key != 0u));
    some += select(0u, 1u, key != 0u);
  }
  let found = min(scanTile(local, vec2u(some, 0u)).z, params.k);   // its barriers complete the entries, too
  sortEntries(local, params.room, false);
  if (params.level == BY_INDEX) {
    for (var i = found + local; i < params.room; i += TILE) { entries[i].y = ALL; }
    workgroupBarrier();
    sortEntries(local, params.room, true);
  }
  if (local == 0u) { counts[params.countOrigin + row] = found; }
  for (var j = local; j < params.fill; j += TILE) {
    let place = resultPlace(row, j);
    if (place >= params.outLength) { continue; }
    var index = ALL;
    var value = 0xff800000u;   // the bits of -infinity
    if (j < found) {
      index = entries[j].y;
      value = scoreOf(entries[j].x);
    }
    indices[place] = index;
    values[place] = value;
  }
}
