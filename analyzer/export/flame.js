"use strict";
(function () {
	var svg = document.documentElement;
	var boxes = Array.prototype.slice.call(svg.querySelectorAll("#boxes > g"));
	var all = document.getElementById("boxes");
	var width = +all.getAttribute("data-width"), left = +all.getAttribute("data-left");
	var detail = document.getElementById("detail"), matched = document.getElementById("matched");
	var plain = detail.textContent;
	var reset = document.getElementById("reset"), search = document.getElementById("search");
	var CHARACTER = 7.25;
	var data = boxes.map(function (g) {
		return {
			g: g, rect: g.querySelector("rect"), text: g.querySelector("text"), x: +g.getAttribute("data-x"),
			w: +g.getAttribute("data-w"), depth: +g.getAttribute("data-d"), name: g.getAttribute("data-n"), size: g.getAttribute("data-s"),
			title: g.querySelector("title").textContent
		};
	});

	function label(d, w) {
		var room = Math.floor((w - 6) / CHARACTER);
		var both = d.name + "  " + d.size;
		d.text.textContent = room < 3 ? "" : both.length <= room ? both : d.name.length <= room ? d.name :
			d.name.slice(0, room - 1) + "\u2026";
	}

	function zoom(to) {
		data.forEach(function (d) {
			var above = d.depth < to.depth && d.x <= to.x && d.x + d.w >= to.x + to.w;
			var inside = d.depth >= to.depth && d.x >= to.x - 1e-9 && d.x + d.w <= to.x + to.w + 1e-9;
			var x = above ? 0 : (d.x - to.x) / to.w, w = above ? 1 : d.w / to.w;
			d.g.style.display = (above || inside) && w * width > 0.2 ? "" : "none";
			d.g.setAttribute("class", above ? "above" : "");
			d.rect.setAttribute("x", left + x * width);
			d.rect.setAttribute("width", Math.max(w * width - 0.5, 0.1));
			d.text.setAttribute("x", left + x * width + 3);
			label(d, w * width);
		});
		reset.style.display = to.depth ? "" : "none";
		if (term)
			find(term);
	}

	var term = "";
	function find(text) {
		var needle = text.toLowerCase(), sum = 0, end = -1;
		term = text;
		var hits = data.filter(function (d) {
			var hit = needle && d.name.toLowerCase().indexOf(needle) >= 0;
			d.g.classList.toggle("hit", !!hit);
			return hit;
		});
		// What one hit holds is not counted again for hits above it.
		hits.sort(function (a, b) { return a.x - b.x || a.depth - b.depth; });
		hits.forEach(function (d) {
			if (d.x >= end - 1e-9) {
				sum += d.w;
				end = d.x + d.w;
			}
		});
		matched.textContent = needle ? "\u201c" + text + "\u201d: " + (100 * sum).toFixed(1) + " %" : "";
		search.textContent = needle ? "clear search" : "search";
	}

	data.forEach(function (d) {
		d.g.addEventListener("click", function () { zoom(d); });
		d.g.addEventListener("mouseover", function () { detail.textContent = d.title.replace(/\n/g, "   "); });
		d.g.addEventListener("mouseout", function () { detail.textContent = plain; });
	});
	reset.addEventListener("click", function () { zoom(data[0]); });
	search.addEventListener("click", function () {
		find(term ? "" : window.prompt("Functions whose name contains:") || "");
	});
	window.addEventListener("keydown", function (event) {
		if (event.key === "Escape") {
			find("");
			zoom(data[0]);
		}
	});
	search.style.display = "";
})();
