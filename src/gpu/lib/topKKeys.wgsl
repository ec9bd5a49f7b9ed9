// The keys that topK selects by, made from x as it is read.
// @uses lib/order.wgsl
// @uses lib/selection.wgsl

override VECTOR: bool = false;   // rows are contiguous and start at multiples of 4 elements; no mask, no earlier block

@group(0) @binding(1) var<storage, read> x: array<u32>;         // bits of f32
@group(0) @binding(2) var<storage, read> x4: array<vec4u>;      // the same window
@group(0) @binding(3) var<storage, read> mask: array<u32>;

/// Larger is better; NaN is 1, below every number; 0 is left for "not a candidate".
fn selectionKey(bits: u32) -> u32 {
  let key = orderKey(bits);
  return select(select(~key, key, params.largest == 1u), 1u, key == 0xffffffffu);
}

/// Four keys at once.
fn selectionKeys(bits: vec4u) -> vec4u {
  let keys = orderKey4(bits);
  return select(select(~keys, keys, params.largest == 1u), vec4u(1u), keys == vec4u(0xffffffffu));
}

/// A row as the bound windows show it. All divisions are made here, once per invocation: CPUs have none for vectors.
struct RowView { base: u32, maskBase: u32, last: vec2u }

fn viewOf(row: u32) -> RowView {
  var slab = 0u;
  var column = row;
  if (params.width == 1u) {
    slab = row;
    column = 0u;
  } else if (params.rows > params.width) {
    slab = row / params.width;
    column = row % params.width;
  }
  // Modulo 2^32: what is taken away for entries before the window comes back with the index.
  let position = slab * params.length - params.first;
  var view = RowView(params.origin + position * params.inner + column, 0u, vec2u(0u));
  view.maskBase = params.maskOrigin + position * params.maskInner + select(0u, column, params.maskInner == params.inner);
  if (params.after != 0u) { view.last = vec2u(state[row * STATE + LAST_KEY], state[row * STATE + LAST_INDEX]); }
  return view;
}

/// Where an entry lies in the bound window.
fn placeOf(view: RowView, index: u32) -> u32 { return view.base + index * params.inner; }

/// The key of an entry of the bound window, 0 if it cannot be selected.
fn keyAt(view: RowView, index: u32) -> u32 {
  if (params.maskInner != 0u && mask[view.maskBase + index * params.maskInner] == 0u) { return 0u; }
  let key = selectionKey(x[placeOf(view, index)]);
  if (params.after != 0u && !comesBefore(view.last.x, view.last.y, key, index)) { return 0u; }
  return key;
}
