// A photograph at its own resolution, to zoom and move: OpenSeadragon, with a drawing over it.

/* global OpenSeadragon */

import { word } from "./languages.js";

const BLUR = 0.02; // reach of the contrast view, as a share of the photograph's width
const OPTIONS = {
  drawer: "canvas",
  showNavigationControl: false,
  animationTime: 0.25,
  blendTime: 0,
  immediateRender: true,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  gestureSettingsTouch: { pinchRotate: false },
  maxZoomPixelRatio: 8,
  minZoomImageRatio: 0.8,
  visibilityRatio: 0.6,
  constrainDuringPan: true,
  loadTilesWithAjax: false,
  // On a telephone, one finger scrolls the page, and two move the photograph.
  cooperativeGestures: matchMedia("(pointer: coarse)").matches,
};
const ITS_KEYS = new Set(["+", "-", "=", "_", "0", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

// OpenSeadragon adds a style of its own, which the Content-Security-Policy refuses, unless an element of this name is there.
const stylish = document.createElementNS("none", "style");
stylish.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(stylish);

const open = new Set();
let locked = false;
let leader; // the viewer that its user moved last

// While eyes are locked, all viewers follow the one that its user moves.
export function lock(value) {
  locked = value;
}

// Moves all viewers; locked ones by their leader.
export function steer(act) {
  const ready = [...open].filter((viewer) => viewer.ready);
  if (!locked) {
    ready.forEach(act);
    return;
  }
  leader ??= ready[0];
  if (leader?.ready) act(leader);
}

export class Viewer {
  // `on` has what happens at a key, and at a change of the zoom.
  constructor(element, { label, eye, square, width, drawing, on }) {
    Object.assign(this, { eye, square, width, drawing, on, view: "colour" });
    this.osd = OpenSeadragon({ element, ...OPTIONS });
    const { canvas } = this.osd;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", label);
    this.osd.container.append(drawing);
    this.osd.addHandler("canvas-key", (event) => this.key(event));
    this.osd.addHandler("canvas-cooperative-gesture", (event) => { event.message = word("two_fingers"); });
    this.osd.addHandler("open", () => {
      this.osd.viewport.getHomeBounds = () => this.home;
      this.fit(true);
    });
    for (const name of ["canvas-press", "canvas-scroll", "canvas-key"]) this.osd.addHandler(name, () => { leader = this; });
    for (const name of ["update-viewport", "open", "resize"]) this.osd.addHandler(name, () => this.draw());
    this.osd.addHandler("viewport-change", () => this.lead());
    open.add(this);
  }

  show(url) {
    this.osd.open({ type: "image", url });
  }

  close() {
    open.delete(this);
    if (leader === this) leader = undefined;
    this.osd.destroy();
  }

  get ready() {
    return this.osd.isOpen() && this.osd.world.getItemCount() > 0;
  }

  // Keeps the drawing where the photograph is.
  draw() {
    if (!this.ready) return;
    const { viewport, world } = this.osd;
    const item = world.getItemAt(0);
    const { x, y, width, height } = item.viewportToImageRectangle(viewport.getBounds(true));
    this.drawing.setAttribute("viewBox", [x, y, width, height].join(" "));
    this.drawing.setAttribute("preserveAspectRatio", "none");
    this.scale = viewport.getContainerSize().x / width;
    const blur = Math.min(40, Math.max(3, BLUR * this.width * this.scale));
    document.querySelector("#contrast feGaussianBlur").setAttribute("stdDeviation", blur.toFixed(1));
    this.on.zoom(this.scale);
  }

  setView(view) {
    this.view = view;
    this.osd.canvas.dataset.view = view;
  }

  zoomBy(factor) {
    this.osd.viewport.zoomBy(factor).applyConstraints();
  }

  // Shows the whole field of view.
  fit(immediately = false) {
    this.osd.viewport.goHome(immediately);
  }

  get home() {
    const { left, top, width, height } = this.square;
    return new OpenSeadragon.Rect(left / this.width, top / this.width, width / this.width, height / this.width);
  }

  full() {
    const item = this.osd.world.getItemAt(0);
    this.osd.viewport.zoomTo(item.imageToViewportZoom(1)).applyConstraints();
  }

  key(event) {
    const { key, ctrlKey, altKey, metaKey } = event.originalEvent;
    if (ctrlKey || altKey || metaKey || ITS_KEYS.has(key)) return;
    event.preventDefaultAction = true; // OpenSeadragon would turn and mirror the photograph
    if (key === "1") this.full();
    else this.on.key(key.toLowerCase());
  }

  // Moves the other locked viewers: to the same part of the field of view, mirrored for the other eye.
  lead() {
    if (!locked || leader !== this || !this.ready) return;
    const { viewport } = this.osd;
    const mine = this.fieldOfView();
    const centre = viewport.getCenter(true);
    const [x, y, zoom] = [(centre.x - mine.x) / mine.width, (centre.y - mine.y) / mine.width, viewport.getZoom(true) * mine.width];
    for (const other of open) {
      if (other !== this && other.ready) other.follow(x * (isFellow(this.eye, other.eye) ? -1 : 1), y, zoom);
    }
  }

  follow(x, y, zoom) {
    const mine = this.fieldOfView();
    this.osd.viewport.zoomTo(zoom / mine.width, null, true);
    this.osd.viewport.panTo(new OpenSeadragon.Point(mine.x + x * mine.width, mine.y + y * mine.width), true);
    this.osd.forceRedraw();
    this.draw();
  }

  // The middle and the width of the field of view, in the viewer's units.
  fieldOfView() {
    const { left, top, width, height } = this.square;
    return { x: (left + width / 2) / this.width, y: (top + height / 2) / this.width, width: width / this.width };
  }
}

const isFellow = (one, other) => one !== "" && other !== "" && one !== other;

// Returns a URL of a whole photograph: of the file itself where the browser reads it as the service does, else of the
// picture that the service makes of it.
export async function photographUrl(file, { width, height }, getPicture) {
  if (file.type.startsWith("image/")) {
    const url = URL.createObjectURL(file);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      if (image.naturalWidth === width && image.naturalHeight === height) return url;
    } catch { /* the browser doesn't read this format */ }
    URL.revokeObjectURL(url);
  }
  return URL.createObjectURL(await getPicture(file));
}
