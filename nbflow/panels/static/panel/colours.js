// --- colours -----------------------------------------------------------------------------------

function rgb(text) {
  const hex = /^#([0-9a-f]{6})$/i.exec(text);
  if (hex) return [0, 2, 4].map((at) => parseInt(hex[1].slice(at, at + 2), 16));
  const short = /^#([0-9a-f]{3})$/i.exec(text);
  if (short) return [...short[1]].map((digit) => parseInt(digit + digit, 16));
  const parts = (text.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  return parts.slice(0, 3);
}

const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
const css = (colour) => `rgb(${colour.join(",")})`;

function luminance(colour) {
  const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** Move `colour` away from `ground` until text in it can be read. */
function readable(colour, ground, least) {
  const away = luminance(ground) > 0.4 ? [0, 0, 0] : [255, 255, 255];
  let found = colour;
  for (let share = 0; share <= 1 && contrast(found, ground) < least; share += 0.05) {
    found = mix(colour, away, share);
  }
  return found;
}

/** The theme as it is where the panel stands, and the looks' colours fitted to it. */
class Palette {
  constructor(el, looks) {
    const style = getComputedStyle(el);
    this.ground = rgb(style.getPropertyValue("background-color"));
    this.ink = rgb(style.getPropertyValue("color"));
    this.soft = readable(mix(this.ink, this.ground, 0.35), this.ground, 4.6);
    this.line = mix(this.ink, this.ground, 0.8);
    this.edge = mix(this.ink, this.ground, 0.62);
    this.font = style.getPropertyValue("font-family");
    this.fills = looks.map((look) => readable(rgb(look.colour), this.ground, 3));
    this.texts = looks.map((look) => readable(rgb(look.colour), mix(this.ground, this.ink, 0.06), 4.6));
    el.style.setProperty("--nbf-soft", css(this.soft));
    el.style.setProperty("--nbf-line", css(this.line));
    looks.forEach((look, i) => {
      for (const key of [i, look.name]) {
        el.style.setProperty(`--nbf-fill-${key}`, css(this.fills[i]));
        el.style.setProperty(`--nbf-text-${key}`, css(this.texts[i]));
      }
    });
  }
}
