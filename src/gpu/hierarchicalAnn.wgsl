// Search in a tree of centroids. Each level is treated alike: its nodes lie in memory parent after parent; a mask per parent
// tells which queries of the batch have opened it; the nodes below the open parents are scored, those of other parents
// stay absent; the best are selected (topK) and opened in turn. The last level are the vectors.
//
// Scores are made list by list, not query by query: a block of rows is read once for up to 32 queries.
// @uses lib/grid.wgsl
// @uses lib/listBlocks.wgsl

struct Params {
  parents: u32,     // nodes of the level above
  length: u32,      // rows of this level
  width: u32,       // vec4 per row
  queries: u32,     // queries of this batch, at most 32
  first: u32,       // the bound window holds the rows first ..< first + count
  count: u32,
  k: u32,           // selected per query
  base: u32,        // the first query of this batch among all
  least: u32,       // open at least so many nodes
  lists: u32,       // which hold at least so many lists
  vectors: u32,     // and at least so many vectors
  depth: u32,       // levels of offsets from a node down to the vectors: 1 to 3
  found: u32,       // results per query at most
  maxGroups: u32,   // workgroups per dimension
}

override WORKGROUP_SIZE: u32 = 64u;
override RANKED: bool = false;           // results go to the place of their rank: at the vectors
override SCALED: bool = false;           // scores are multiplied by a number per query: 1 / |q|

// A NaN: topK ranks it after every number, and no score is one.
const ABSENT = 0x7fc00000u;
const NEG_INF_BITS = 0xff800000u;

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read_write> filled: array<vec4u>;

/// Nothing is scored yet. `length` is the number of vec4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annAbsent(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let first = (linearGroup(group, groups) * WORKGROUP_SIZE + local) * BLOCK;
  for (var i = first; i < min(first + BLOCK, params.length); i++) { filled[i] = vec4u(ABSENT); }
}

@group(0) @binding(1) var<storage, read_write> rootStarts: array<u32>;
@group(0) @binding(2) var<storage, read_write> rootMasks: array<u32>;

/// The top of the tree: one parent of all nodes, open for every query.
@compute @workgroup_size(1)
fn annRoot() {
  rootStarts[0] = 0u;
  rootStarts[1] = params.length;
  rootMasks[0] = 0xffffffffu >> (32u - params.queries);
}

@group(0) @binding(1) var<storage, read> starts: array<u32>;             // [parents + 1], into this level
@group(0) @binding(2) var<storage, read> masks: array<u32>;              // [parents]: bit q = open for query q
@group(0) @binding(3) var<storage, read_write> blocks: array<u32>;       // [parents + 1]

/// Blocks of rows below each parent that any query has opened. The scan of this tells which block belongs to whom.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annBlocks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let p = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (p > params.parents) { return; }
  var count = 0u;
  if (p < params.parents && masks[p] != 0u) { count = (starts[p + 1u] - starts[p] + BLOCK - 1u) / BLOCK; }
  blocks[p] = count;
}

@group(0) @binding(1) var<storage, read> blockStarts: array<u32>;
@group(0) @binding(2) var<storage, read_write> dispatchSize: array<u32>;

/// How many workgroups annScores needs.
@compute @workgroup_size(1)
fn annSize() {
  let total = blockStarts[params.parents];
  let rows = max((total + params.maxGroups - 1u) / params.maxGroups, 1u);
  dispatchSize[0] = (total + rows - 1u) / rows;
  dispatchSize[1] = rows;
  dispatchSize[2] = 1u;
}

@group(0) @binding(5) var<storage, read> parentMasks: array<u32>;
@group(0) @binding(6) var<storage, read> ranks: array<u32>;
@group(0) @binding(7) var<storage, read> scales: array<f32>;
@group(0) @binding(8) var<storage, read_write> dense: array<f32>;        // [queries, length]

fn put(query: u32, place: u32, score: f32) {
  var s = score;
  if (SCALED) { s *= scales[params.base + query]; }
  dense[query * params.length + place] = s;
}

/// A workgroup owns a block of rows of one parent, an invocation one row at a time. The queries that opened the parent
/// are taken four at a time, the last one alone.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annScores(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let block = linearGroup(group, groups);
  if (block >= firstBlocks[params.parents]) { return; }
  let parent = listOfBlock(block, params.parents);
  let own = rowsOfBlock(block, parent, params.first, params.count);
  let width = params.width;
  for (var row = own.x + local; row < own.y; row += WORKGROUP_SIZE) {
    let x = (row - params.first) * width;
    var place = row;
    if (RANKED) { place = ranks[row]; }
    var open = parentMasks[parent];
    while (open != 0u) {
      let four = nextFour(open);
      open = four.left;
      let q = four.queries;
      let at = (params.base + q) * width;
      if (q.y == q.x) {
        put(q.x, place, oneScore(x, at.x, width));
        break;
      }
      let scores = fourScores(x, at, width);
      put(q.x, place, scores.x);
      put(q.y, place, scores.y);
      if (q.z != q.x) { put(q.z, place, scores.z); }
      if (q.w != q.x) { put(q.w, place, scores.w); }
    }
  }
}

// --- Opening nodes: in order, until enough are open that hold enough. ---

@group(0) @binding(1) var<storage, read> best: array<i32>;               // [queries, k]: nodes, best first
@group(0) @binding(2) var<storage, read> bestScores: array<u32>;         // [queries, k]: bits
@group(0) @binding(3) var<storage, read> below1: array<u32>;             // offsets of this level,
@group(0) @binding(4) var<storage, read> below2: array<u32>;             // of the one below it,
@group(0) @binding(5) var<storage, read> below3: array<u32>;             // and of the one below that
@group(0) @binding(6) var<storage, read_write> opened: array<atomic<u32>>;   // [length]: masks
@group(0) @binding(7) var<storage, read_write> tallies: array<i32>;      // [all queries, 2]: nodes open, vectors below

/// Where the lists (x) and the vectors (y) below a node start.
fn startBelow(node: u32) -> vec2u {
  if (params.depth == 1u) { return vec2u(node, below1[node]); }
  if (params.depth == 2u) { return vec2u(below1[node], below2[below1[node]]); }
  let lists = below2[below1[node]];
  return vec2u(lists, below3[lists]);
}

fn goesOn(count: u32, held: vec2u) -> bool {
  return count < params.least || held.x < params.lists || held.y < params.vectors;
}

/// One invocation owns a query.
@compute @workgroup_size(1)
fn annOpen(@builtin(workgroup_id) group: vec3u) {
  let q = group.x;
  var held = vec2u();
  var count = 0u;
  while (count < params.k && goesOn(count, held)) {
    if ((bestScores[q * params.k + count] & 0x7fffffffu) > 0x7f800000u) { break; }   // absent: all are open
    let node = u32(best[q * params.k + count]);
    atomicOr(&opened[node], 1u << q);
    held += startBelow(node + 1u) - startBelow(node);
    count++;
  }
  tallies[(params.base + q) * 2u] = i32(count);
  tallies[(params.base + q) * 2u + 1u] = i32(held.y);
}

var<workgroup> prefix: array<vec2u, 64>;
var<workgroup> openedNow: vec2u;

/// One workgroup owns a query: 64 nodes per round, each opened if what comes before it is not enough.
@compute @workgroup_size(64)
fn annOpenTiles(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let q = group.x;
  var held = vec2u();
  var count = 0u;
  for (var round = 0u; round < params.k; round += 64u) {
    let at = q * params.k + round + local;
    var there = round + local < params.k;
    if (there) { there = (bestScores[at] & 0x7fffffffu) <= 0x7f800000u; }
    var node = 0u;
    var own = vec2u();
    if (there) {
      node = u32(best[at]);
      own = startBelow(node + 1u) - startBelow(node);
    }
    prefix[local] = own;
    workgroupBarrier();   // every entry is there before neighbours are added
    for (var d = 1u; d < 64u; d *= 2u) {
      var add = vec2u();
      if (local >= d) { add = prefix[local - d]; }
      workgroupBarrier();   // all have read before anyone writes
      prefix[local] += add;
      workgroupBarrier();   // and written before the next step reads
    }
    let opens = there && goesOn(round + local, held + prefix[local] - own);
    if (opens) { atomicOr(&opened[node], 1u << q); }
    let all = prefix[63];
    workgroupBarrier();     // the sums are read before they become marks
    prefix[local] = select(vec2u(), vec2u(1u, own.y), opens);
    workgroupBarrier();     // every mark is there before they are added up
    if (local == 0u) {
      openedNow = vec2u();
      for (var i = 0u; i < 64u; i++) { openedNow += prefix[i]; }
    }
    // What was opened is a prefix: the first round that does not open all is the last one.
    let some = workgroupUniformLoad(&openedNow);
    count += some.x;
    held = vec2u(held.x + all.x, held.y + some.y);
    if (some.x < 64u) { break; }
  }
  if (local == 0u) {
    tallies[(params.base + q) * 2u] = i32(count);
    tallies[(params.base + q) * 2u + 1u] = i32(held.y);
  }
}

@group(0) @binding(1) var<storage, read_write> wholeTallies: array<i32>;

/// One list: it is open for all queries.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annWhole(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let q = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (q >= params.queries) { return; }
  wholeTallies[q * 2u] = 1;
  wholeTallies[q * 2u + 1u] = i32(params.length);
}

// --- Results. ---

@group(0) @binding(1) var<storage, read> denseBits: array<u32>;
@group(0) @binding(2) var<storage, read_write> present: array<u32>;

/// Which entries topK may select. `length` elements.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annPresent(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.length) { present[i] = select(0u, 1u, denseBits[i] != ABSENT); }
}

@group(0) @binding(1) var<storage, read> selected: array<i32>;           // [queries, found]: rows
@group(0) @binding(2) var<storage, read> selectedScores: array<u32>;     // [queries, found]: bits
@group(0) @binding(3) var<storage, read> idOfRow: array<i32>;
@group(0) @binding(4) var<storage, read_write> ids: array<i32>;          // [all queries, k]
@group(0) @binding(5) var<storage, read_write> outScores: array<u32>;    // [all queries, k]: bits

/// Rows to ids; what is absent is filled up.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annResults(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.queries * params.k) { return; }
  let q = id / params.k;
  let r = id % params.k;
  var bits = ABSENT;
  if (r < params.found) { bits = selectedScores[q * params.found + r]; }
  let there = (bits & 0x7fffffffu) <= 0x7f800000u && bits != NEG_INF_BITS;
  var word = -1;
  if (there) { word = idOfRow[selected[q * params.found + r]]; }
  let at = (params.base + q) * params.k + r;
  ids[at] = word;
  outScores[at] = select(NEG_INF_BITS, bits, there);
}

@group(0) @binding(1) var<storage, read> allScores: array<u32>;          // [all queries, k]: bits
@group(0) @binding(2) var<storage, read> allTallies: array<i32>;         // [all queries, 2]
@group(0) @binding(3) var<storage, read_write> counts: array<i32>;
@group(0) @binding(4) var<storage, read_write> listsProbed: array<i32>;
@group(0) @binding(5) var<storage, read_write> scanned: array<i32>;

/// One invocation owns a query. Results come before padding, so their number is found by halving.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annCounts(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let q = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (q >= params.queries) { return; }
  var low = 0u;
  var high = params.found;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (allScores[q * params.k + middle] != NEG_INF_BITS) { low = middle + 1u; } else { high = middle; }
  }
  counts[q] = i32(low);
  listsProbed[q] = allTallies[q * 2u];
  scanned[q] = allTallies[q * 2u + 1u];
}
