// Building a tree of centroids and the lists below it. Clustering itself is in kMeans.wgsl.
// @uses lib/grid.wgsl

struct Params {
  count: u32,      // what the entry point makes: rows, children, nodes
  nodes: u32,      // nodes of the level above
  children: u32,   // nodes of this level
  width: u32,      // vec4 per row
  beam: u32,       // nodes kept per vector
  beamIn: u32,     // nodes kept one level above; 0 at the top
  first: u32,      // the bound window of rows starts here
  block: u32,      // points per workgroup of the assignment
  old: u32,        // vectors of the old index
  given: u32,      // nonzero: ids are given
}

override WORKGROUP_SIZE: u32 = 64u;
override DISTANCE: bool = false;
override SCALED: bool = false;
const NONE = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read_write> counting: array<u32>;

/// 0, 1, 2, ...
@compute @workgroup_size(WORKGROUP_SIZE)
fn annIota(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.count) { counting[i] = i; }
}

/// No place to go, for each empty list.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annNowhere(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.count) { counting[i] = NONE; }
}

@group(0) @binding(1) var<storage, read> pointStarts: array<u32>;        // [nodes + 1]: points below each node
@group(0) @binding(2) var<storage, read_write> kids: array<u32>;         // [nodes + 1]: children below each node

/// Children are shared out by points, at least one each: node + floor((children - nodes) * points before / points).
/// The product needs more than 32 bits; it is made and divided bit by bit.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annShares(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let node = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (node > params.nodes) { return; }
  let before = pointStarts[node];
  let total = pointStarts[params.nodes];
  let factor = params.children - params.nodes;
  var quotient = 0u;
  var rest = 0u;
  for (var bit = 32u; bit > 0u; bit--) {
    quotient *= 2u;
    rest *= 2u;
    if (((factor >> (bit - 1u)) & 1u) != 0u) { rest += before; }
    while (rest >= total) {
      rest -= total;
      quotient++;
    }
  }
  kids[node] = node + quotient;
}

@group(0) @binding(2) var<storage, read_write> blocks: array<u32>;       // [nodes + 1]

@compute @workgroup_size(WORKGROUP_SIZE)
fn annPointBlocks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let node = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (node > params.nodes) { return; }
  var count = 0u;
  if (node < params.nodes) { count = (pointStarts[node + 1u] - pointStarts[node] + params.block - 1u) / params.block; }
  blocks[node] = count;
}

@group(0) @binding(2) var<storage, read> kidStarts: array<u32>;
@group(0) @binding(3) var<storage, read> firstBlocks: array<u32>;
@group(0) @binding(4) var<storage, read_write> groupInfo: array<vec4u>;

/// What the assignment needs to know of each group of points.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annGroups(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let node = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (node > params.nodes) { return; }
  groupInfo[node] = vec4u(firstBlocks[node], pointStarts[node], kidStarts[node], 0u);
}

/// The node above a child: the last one whose children do not start beyond it.
fn parentOf(child: u32) -> u32 {
  var low = 0u;
  var high = params.nodes;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (kidStarts[middle] <= child) { low = middle; } else { high = middle; }
  }
  return low;
}

@group(0) @binding(3) var<storage, read> members: array<u32>;            // points by node
@group(0) @binding(4) var<storage, read> points: array<vec4f>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read> above: array<vec4f>;            // centroids one level above
@group(0) @binding(7) var<storage, read_write> centroids: array<vec4f>;

/// The first centroids: child c of a node starts with the c-th of its points; without points, where the node is.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annFirst(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.children * params.width) { return; }
  let child = id / params.width;
  let node = parentOf(child);
  let count = pointStarts[node + 1u] - pointStarts[node];
  if (count == 0u) {
    centroids[id] = above[node * params.width + id % params.width];
    return;
  }
  let row = members[pointStarts[node] + (child - kidStarts[node]) % count];
  var v = points[row * params.width + id % params.width];
  if (SCALED) { v *= weights[row]; }
  centroids[id] = v;
}

@group(0) @binding(4) var<storage, read> random: array<u32>;             // [children]
@group(0) @binding(5) var<storage, read_write> restarts: array<u32>;     // [children]

/// Where an empty child goes: to any point of its node.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annRestart(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let child = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (child >= params.children) { return; }
  let node = parentOf(child);
  let count = pointStarts[node + 1u] - pointStarts[node];
  var row = NONE;
  if (count > 0u) { row = members[pointStarts[node] + random[child] % count]; }
  restarts[child] = row;
}

// --- The way of a vector down the tree. ---

@group(0) @binding(1) var<storage, read> rows: array<vec4f>;
@group(0) @binding(2) var<storage, read> nodeCentroids: array<vec4f>;
@group(0) @binding(3) var<storage, read> nodeStarts: array<u32>;         // children of each node one level above
@group(0) @binding(4) var<storage, read> keptAbove: array<u32>;          // [rows, beamIn], ascending; NONE at the end
@group(0) @binding(5) var<storage, read_write> kept: array<u32>;         // [rows, beam], ascending; NONE at the end

/// One invocation owns a vector: the `beam` best nodes below those that were kept one level above. Nodes come in ascending
/// order, so the lower one stays in front of its equals.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annDescend(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.count) { return; }
  let row = params.first + id;
  var scores: array<f32, 16>;
  var nodes: array<u32, 16>;
  var filled = 0u;
  for (var b = 0u; b < max(params.beamIn, 1u); b++) {
    var low = 0u;
    var high = params.children;
    if (params.beamIn > 0u) {
      let parent = keptAbove[row * params.beamIn + b];
      if (parent == NONE) { break; }
      low = nodeStarts[parent];
      high = nodeStarts[parent + 1u];
    }
    for (var c = low; c < high; c++) {
      var score = 0.0;
      for (var j = 0u; j < params.width; j++) {
        let x = rows[id * params.width + j];
        let y = nodeCentroids[c * params.width + j];
        if (DISTANCE) { score -= dot(x - y, x - y); } else { score += dot(x, y); }
      }
      if (filled == params.beam && !(score > scores[filled - 1u])) { continue; }
      if (filled < params.beam) { filled++; }
      var at = filled - 1u;
      while (at > 0u && score > scores[at - 1u]) {
        scores[at] = scores[at - 1u];
        nodes[at] = nodes[at - 1u];
        at--;
      }
      scores[at] = score;
      nodes[at] = c;
    }
  }
  // Ascending, for the next level.
  for (var i = 1u; i < filled; i++) {
    let node = nodes[i];
    var at = i;
    while (at > 0u && nodes[at - 1u] > node) {
      nodes[at] = nodes[at - 1u];
      at--;
    }
    nodes[at] = node;
  }
  for (var b = 0u; b < params.beam; b++) {
    kept[row * params.beam + b] = select(NONE, nodes[b], b < filled);
  }
}

// --- Ids, and adding to lists. ---

@group(0) @binding(1) var<storage, read> oldIds: array<i32>;             // [old], ascending
@group(0) @binding(2) var<storage, read> newIds: array<i32>;             // [count - old], if given
@group(0) @binding(3) var<storage, read_write> allIds: array<u32>;       // [count]

/// The old ids, then the new ones; without any given, those after the last.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annIds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.count) { return; }
  if (i < params.old) {
    allIds[i] = u32(oldIds[i]);
  } else if (params.given != 0u) {
    allIds[i] = u32(newIds[i - params.old]);
  } else {
    var next = 0u;
    if (params.old > 0u) { next = u32(oldIds[params.old - 1u]) + 1u; }
    allIds[i] = next + i - params.old;
  }
}

@group(0) @binding(1) var<storage, read> sortedIds: array<u32>;
@group(0) @binding(2) var<storage, read_write> bad: array<atomic<u32>>;

/// Counts ids that are negative or not larger than the one before.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annCheckIds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.count) { return; }
  var wrong = sortedIds[i] > 0x7fffffffu;
  if (i > 0u) { wrong = wrong || sortedIds[i] <= sortedIds[i - 1u]; }
  if (wrong) { atomicAdd(&bad[0], 1u); }
}

@group(0) @binding(2) var<storage, read> badIds: array<u32>;
@group(0) @binding(3) var<storage, read_write> finalIds: array<i32>;

/// The ids, or -1 throughout if any is refused: a kernel cannot throw, it marks its result.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annFinalIds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.count) { finalIds[i] = select(i32(sortedIds[i]), -1, badIds[0] != 0u); }
}

@group(0) @binding(1) var<storage, read> listStarts: array<u32>;         // [children + 1]
@group(0) @binding(2) var<storage, read> order: array<u32>;              // [old]: the row of each place
@group(0) @binding(3) var<storage, read_write> listOfRow: array<u32>;
@group(0) @binding(4) var<storage, read_write> placeOfRow: array<u32>;

/// Where each row of the old index is.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annPlaces(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let place = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (place >= params.old) { return; }
  var low = 0u;
  var high = params.children;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (listStarts[middle] <= place) { low = middle; } else { high = middle; }
  }
  let row = order[place];
  listOfRow[row] = low;
  placeOfRow[row] = place;
}

@group(0) @binding(1) var<storage, read> rank: array<u32>;               // [count]: sources by ascending id
@group(0) @binding(2) var<storage, read> listOf: array<u32>;             // [count]: by source
@group(0) @binding(3) var<storage, read_write> ranked: array<u32>;       // [count]: by rank

@compute @workgroup_size(WORKGROUP_SIZE)
fn annRanked(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.count) { ranked[i] = listOf[rank[i]]; }
}
