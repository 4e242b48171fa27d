// A bar chart as SVG: groups of bars to the right, whiskers from the least to the most that was seen.
const [WIDTH, LEFT, RIGHT, BAR, GAP, TOP] = [860, 310, 120, 16, 14, 48];

const escaped = (text) => text.replace(/[&<>]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char]);

/** `groups`: [{ label, bars: [{ name, value, low, high, text, ours }] }] */
export const plot = (title, unit, groups) => {
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ high }) => high)), Number.MIN_VALUE);
  const x = (value) => (LEFT + (value / most) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const parts = [];
  let y = TOP;
  for (const { label, bars } of groups) {
    if (label) parts.push(`<text x="8" y="${y + 12}" class="label">${escaped(label)}</text>`);
    for (const bar of bars) {
      const middle = y + BAR / 2 - 1;
      parts.push(
        `<text x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${escaped(bar.name)}</text>`,
        `<rect x="${LEFT}" y="${y}" width="${(x(bar.value) - LEFT).toFixed(1)}" height="${BAR - 2}" class="${bar.ours ? 'ours' : 'peer'}"/>`,
        `<path d="M${x(bar.low)} ${middle}H${x(bar.high)}" class="spread"/>`,
        `<text x="${Number(x(Math.max(bar.value, bar.high))) + 6}" y="${y + 12}">${escaped(bar.text)}</text>`,
      );
      y += BAR;
    }
    y += GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="11">
<style>.ours{fill:#1f6feb}.peer{fill:#9aa4b2}.spread{stroke:#24292f;stroke-width:1.5}.label{font-weight:bold}</style>
<rect width="${WIDTH}" height="${y}" fill="#fff"/>
<text x="8" y="18" font-size="13" font-weight="bold">${escaped(title)}</text>
<text x="8" y="34">${escaped(unit)}</text>
${parts.join('\n')}
</svg>
`;
};
