// Scores of rows that lie list after list, for the queries that have opened the list: a block of rows is read once for up to
// 32 queries. Blocks are numbered over the open lists (annBlocks of hierarchicalAnn.wgsl counts them).

override BLOCK: u32 = 64u;               // rows per workgroup, a multiple of its size
override DISTANCE: bool = false;         // -|q - x|^2 instead of q.x

@group(0) @binding(1) var<storage, read> rows: array<vec4f>;             // a window of them
@group(0) @binding(2) var<storage, read> scoreQueries: array<vec4f>;     // all of them
@group(0) @binding(3) var<storage, read> parentStarts: array<u32>;       // [lists + 1], into the rows
@group(0) @binding(4) var<storage, read> firstBlocks: array<u32>;        // [lists + 1]: blocks of open lists, scanned

/// The list of a block: the last one whose first block is not beyond it; lists without blocks start where the next one does.
fn listOfBlock(block: u32, lists: u32) -> u32 {
  var low = 0u;
  var high = lists;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (firstBlocks[middle] <= block) { low = middle; } else { high = middle; }
  }
  return low;
}

/// The rows of a block as far as the window first ..< first + count shows them: where they begin and end.
fn rowsOfBlock(block: u32, list: u32, first: u32, count: u32) -> vec2u {
  let begin = parentStarts[list] + (block - firstBlocks[list]) * BLOCK;
  return vec2u(max(begin, first), min(min(begin + BLOCK, parentStarts[list + 1u]), first + count));
}

/// Four queries of a mask, and the mask of those that are left. Past the last query its places repeat the first of the four.
struct Four {
  queries: vec4u,
  left: u32,
}

/// The first four of a mask that is not 0.
fn nextFour(mask: u32) -> Four {
  let a = countTrailingZeros(mask);
  var left = mask & (mask - 1u);
  let b = select(a, countTrailingZeros(left), left != 0u);
  left &= left - 1u;
  let c = select(a, countTrailingZeros(left), left != 0u);
  left &= left - 1u;
  let d = select(a, countTrailingZeros(left), left != 0u);
  left &= left - 1u;
  return Four(vec4u(a, b, c, d), left);
}

fn term(q: vec4f, x: vec4f) -> f32 {
  if (DISTANCE) {
    let t = q - x;
    return -dot(t, t);
  }
  return dot(q, x);
}

/// The scores of the row at `x` for the queries at q: uniform addresses, and each load of the row serves all four.
fn fourScores(x: u32, q: vec4u, width: u32) -> vec4f {
  var sum = vec4f();
  for (var j = 0u; j < width; j++) {
    let v = rows[x + j];
    sum += vec4f(term(scoreQueries[q.x + j], v), term(scoreQueries[q.y + j], v),
                 term(scoreQueries[q.z + j], v), term(scoreQueries[q.w + j], v));
  }
  return sum;
}

/// The same for one query.
fn oneScore(x: u32, q: u32, width: u32) -> f32 {
  var sum = 0.0;
  for (var j = 0u; j < width; j++) { sum += term(scoreQueries[q + j], rows[x + j]); }
  return sum;
}
