// The tab Cover: a player for every part of a cover, and a mixer whose sliders act at once.
//
// webui/cover/tab.py gives the files, in the order of their labels: first those that the sliders move.

const APART = 0.05; // s that two parts may drift apart before one is moved

let mixer = null; // { audio, tracks, place, playing }

/** Show the parts of a cover: files as Gradio gives them, labels as JSON, and levels in dB. */
function show(files, given, ...levels) {
  stop();
  const place = document.getElementById("cover-mixer");
  place.replaceChildren();
  if (!files || !given) return;
  const { labels, play, pause } = JSON.parse(given);
  const tracks = [];
  Object.entries(labels).forEach(([part, label], index) => {
    const player = Object.assign(new Audio(files[index].url), { controls: true, preload: "metadata" });
    player.dataset.part = part;
    place.append(Object.assign(document.createElement("span"), { textContent: label }), player);
    if (index < levels.length) tracks.push(new Audio(files[index].url));
  });
  const button = Object.assign(document.createElement("button"), { textContent: play, className: "lg primary" });
  const seek = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: "any", value: 0 });
  const row = Object.assign(document.createElement("div"), { className: "transport" });
  row.append(button, seek);
  place.prepend(row);
  mixer = { tracks, gains: [], button, seek, play, pause };
  button.onclick = () => toggle(levels);
  seek.oninput = () => tracks.forEach((track) => (track.currentTime = seek.value * (track.duration || 0)));
  tracks[0].ontimeupdate = () => {
    seek.value = tracks[0].currentTime / (tracks[0].duration || 1);
    tracks.slice(1).forEach((track) => {
      if (Math.abs(track.currentTime - tracks[0].currentTime) > APART) track.currentTime = tracks[0].currentTime;
    });
  };
  tracks[0].onended = () => (button.textContent = play);
  mix(levels);
}

/** Play all mixed parts together, or pause them. */
async function toggle() {
  const { tracks, button, play, pause } = mixer;
  if (!mixer.audio) {
    // a click must have come first
    mixer.audio = new AudioContext();
    mixer.gains = tracks.map((track) => {
      const gain = mixer.audio.createGain();
      mixer.audio.createMediaElementSource(track).connect(gain).connect(mixer.audio.destination);
      return gain;
    });
    mix(mixer.levels);
  }
  if (tracks[0].paused) {
    await mixer.audio.resume();
    await Promise.all(tracks.map((track) => track.play()));
    button.textContent = pause;
  } else {
    tracks.forEach((track) => track.pause());
    button.textContent = play;
  }
}

/** Set the levels, dB, of the mixed parts. */
function mix(levels) {
  if (!mixer) return;
  mixer.levels = levels;
  mixer.gains.forEach((gain, index) => (gain.gain.value = 10 ** (levels[index] / 20)));
}

/** Gains of the mixed parts, and whether they play: for tests. */
function state() {
  return mixer && { gains: mixer.gains.map((gain) => gain.gain.value), playing: !mixer.tracks[0].paused };
}

function stop() {
  mixer?.tracks.forEach((track) => track.pause());
  mixer?.audio?.close();
  mixer = null;
}

window.glowCover = { show, mix, state };
