-- Number sections, figures, tables and equations in the order of the document, and put the numbers into captions.
-- The text of each number is stored in the metadata, where references.lua reads it.

local NAMES = { fig = "Figure", tbl = "Table" }
local NBSP = "\u{a0}"

local numbers = {} -- id to the text of its number
local counts = { fig = 0, tbl = 0, eq = 0 }
local sections = { 0, 0, 0, 0, 0, 0 }
local above = { fig = false, tbl = true } -- whether the caption comes first

local function kind_of(id)
  local kind = id:match("^(%a+)%-.")
  return counts[kind] and kind
end

local function count(id, kind)
  if numbers[id] then io.stderr:write("duplicate id " .. id .. "\n") end
  counts[kind] = counts[kind] + 1
  numbers[id] = tostring(counts[kind])
  return numbers[id]
end

-- Sections

local function number_header(header)
  if header.classes:includes("unnumbered") then return nil end
  for level = header.level + 1, 6 do sections[level] = 0 end
  sections[header.level] = sections[header.level] + 1
  local parts = pandoc.List({})
  for level = 1, header.level do
    if sections[level] > 0 then parts:insert(tostring(sections[level])) end
  end
  if header.identifier ~= "" then numbers[header.identifier] = table.concat(parts, ".") end
end

-- Equations

local function number_equations(block)
  local content = block.content
  local found = false
  for i = #content, 1, -1 do
    if content[i].t == "Math" and content[i].mathtype == "DisplayMath" then
      local gap = content[i + 1] and (content[i + 1].t == "Space" or content[i + 1].t == "SoftBreak")
      local after = gap and i + 2 or i + 1
      local id = content[after] and content[after].t == "Str" and content[after].text:match("^{#(eq%-[^ }]+)}$")
      if id then
        found = true
        for _ = i + 1, after do content:remove(i + 1) end
        content[i] = pandoc.Span({ content[i] }, pandoc.Attr(id, { "equation" }))
      end
    end
  end
  if not found then return nil end
  for _, one in ipairs(content) do
    if one.t == "Span" and one.classes:includes("equation") and #one.content == 1 then
      local number = "(" .. count(one.identifier, "eq") .. ")"
      one.content:insert(pandoc.Span({ pandoc.Str(number) }, pandoc.Attr("", { "equation-number" })))
    end
  end
  block.content = content
  return block
end

-- Figures and tables

local function is_picture(block)
  if (block.t ~= "Para" and block.t ~= "Plain") or #block.content ~= 1 then return nil end
  local only = block.content[1]
  if only.t == "Link" and #only.content == 1 then only = only.content[1] end
  return only.t == "Image" and only or nil
end

local function first_image(blocks)
  local found
  blocks:walk({ Image = function(image) found = found or image end })
  return found
end

-- The alternative text of a picture is Quarto's fig-alt, or its caption if it has no fig-alt.
local function set_alt(image)
  local alt = image.attributes["fig-alt"]
  if alt then
    image.attributes["fig-alt"] = nil
    image.caption = { pandoc.Str(alt) }
  end
  image.title = image.title:gsub("^fig:", "")
  return image
end

local function float(kind, id, caption, content, label)
  local blocks = pandoc.Blocks({ pandoc.RawBlock("html", "<figure>") })
  local parts = pandoc.Inlines({})
  if label then
    local text = #caption > 0 and label .. " " or label:gsub(":$", "")
    parts:insert(pandoc.Span({ pandoc.Str(text) }, pandoc.Attr("", { "caption-label" })))
  end
  parts:extend(caption)
  local shown = pandoc.Blocks({})
  if #parts > 0 then
    shown = pandoc.Blocks({
      pandoc.RawBlock("html", "<figcaption>"), pandoc.Plain(parts), pandoc.RawBlock("html", "</figcaption>"),
    })
  end
  if above[kind] then blocks:extend(shown) end
  blocks:extend(content)
  if not above[kind] then blocks:extend(shown) end
  blocks:insert(pandoc.RawBlock("html", "</figure>"))
  return pandoc.Div(blocks, pandoc.Attr(id, { "float", "float-" .. kind }))
end

-- The label is "Figure 1:" at the top level and "(a)" within another float. References put the letter after the number.
local function label_of(kind, id, parent)
  if not parent then return NAMES[kind] .. NBSP .. count(id, kind) .. ":" end
  parent.parts = parent.parts + 1
  local letter = "(" .. string.char(96 + parent.parts) .. ")"
  if id ~= "" then numbers[id] = numbers[parent.id] .. " " .. letter end
  return letter
end

local function box(tbl)
  return pandoc.Div({ tbl }, pandoc.Attr("", { "table-box" }))
end

-- A table that a cell shows as HTML gets a box, but only if the whole table is in one block.
local function html_table(raw)
  if raw.format == "html" and raw.text:find("<table", 1, true) and raw.text:find("</table>", 1, true) then
    return box(raw)
  end
end

local function set_widths(tbl)
  local widths = tbl.attributes["tbl-colwidths"]
  if not widths then return end
  tbl.attributes["tbl-colwidths"] = nil
  local given = {}
  for number in widths:gmatch("[%d.]+") do table.insert(given, tonumber(number) / 100) end
  for i, spec in ipairs(tbl.colspecs) do tbl.colspecs[i] = { spec[1], given[i] } end
end

local function table_float(tbl, parent)
  local caption = pandoc.utils.blocks_to_inlines(tbl.caption.long)
  local id = tbl.identifier
  tbl.caption = { long = {} }
  set_widths(tbl)
  local kind = kind_of(id) == "tbl" and "tbl"
  if not kind and #caption == 0 then return box(tbl) end
  if kind then tbl.identifier = "" end
  local labelled = kind or (parent and parent.kind == "tbl")
  return float("tbl", kind and id or "", caption, { box(tbl) }, labelled and label_of("tbl", id, parent) or nil)
end

local function picture_float(id, caption, content, parent)
  local image = first_image(pandoc.Blocks(content))
  if image and kind_of(image.identifier) == "fig" then
    id = image.identifier
  end
  content = pandoc.Blocks(content):walk({
    Image = function(one)
      if one.identifier == id then one.identifier = "" end
      return set_alt(one)
    end,
  })
  local labelled = kind_of(id) == "fig" or (parent and parent.kind == "fig")
  return float("fig", id, caption, content, labelled and label_of("fig", id, parent) or nil)
end

local function figure(fig, parent)
  return picture_float(fig.identifier, pandoc.utils.blocks_to_inlines(fig.caption.long), fig.content, parent)
end

local function picture(block, parent)
  local image = is_picture(block)
  if not image then return nil end
  -- Pandoc does not make a figure of a picture without a caption. If the picture has an id, it is a figure here.
  if kind_of(image.identifier) == "fig" then
    return picture_float(image.identifier, image.caption, { pandoc.Plain(block.content) }, parent)
  end
end

local parts_of -- defined below, because the parts of a float may themselves be floats

local function div_float(div, parent)
  local id, kind = div.identifier, kind_of(div.identifier)
  if kind ~= "fig" and kind ~= "tbl" then return nil end
  local content = div.content
  local caption = pandoc.Inlines({})
  local last = content[#content]
  local named = div.attributes[kind .. "-cap"]
  if named then
    caption = pandoc.utils.blocks_to_inlines(pandoc.read(named, "markdown").blocks)
  elseif #content > 1 and last.t == "Para" and not is_picture(last) then
    caption = last.content
    content:remove(#content)
  elseif #content == 1 and (last.t == "Table" or last.t == "Figure") and kind_of(last.identifier) == nil then
    caption = pandoc.utils.blocks_to_inlines(last.caption.long)
    if last.t == "Table" then last.caption = { long = {} } else content = last.content end
  end
  local label = label_of(kind, id, parent)
  local alt = div.attributes["fig-alt"]
  if alt then
    local image = first_image(content)
    content = content:walk({
      Image = function(one)
        if one == image then one.attributes["fig-alt"] = one.attributes["fig-alt"] or alt end
        return one
      end,
    })
  end
  local attributes = {}
  for key, value in pairs(div.attributes) do
    if key ~= "fig-alt" and key ~= "fig-cap" and key ~= "tbl-cap" then attributes[key] = value end
  end
  content = parts_of(content, { id = id, kind = kind, parts = 0 })
  if next(attributes) then content = pandoc.Blocks({ pandoc.Div(content, pandoc.Attr("", {}, attributes)) }) end
  local made = float(kind, id, caption, content, label)
  made.classes:extend(div.classes)
  return made
end

local function walker(parent)
  local function keep(make)
    return function(block)
      local made = make(block, parent)
      if made then return made, false end
    end
  end
  local function paragraph(block)
    local made = picture(block, parent)
    if made then return made, false end
    local numbered = number_equations(block)
    if numbered then return numbered, false end
  end
  return {
    traverse = "topdown",
    Header = number_header, Para = paragraph, Plain = paragraph,
    Figure = keep(figure), Table = keep(table_float), Div = keep(div_float), RawBlock = keep(html_table),
  }
end

-- If no part of a float has an id and at most one has a caption, the parts stay unlabelled; else they are (a), (b), ...
function parts_of(blocks, parent)
  local own, several = 0, 0
  blocks:walk({
    Figure = function() several = several + 1 end,
    Image = function(image) if kind_of(image.identifier) then own = own + 1 end end,
    Table = function(tbl)
      if kind_of(tbl.identifier) then own = own + 1 end
      if #tbl.caption.long > 0 then several = several + 1 end
    end,
    Div = function(div) if kind_of(div.identifier) then own = own + 1 end end,
  })
  if own == 0 and several < 2 then
    return blocks:walk({
      traverse = "topdown",
      Table = function(tbl) set_widths(tbl) return box(tbl), false end,
      Figure = function(fig) return fig.content end,
      RawBlock = function(raw) return html_table(raw), false end,
    }):walk({ Image = set_alt })
  end
  return blocks:walk(walker(parent))
end

function Pandoc(document)
  for kind, _ in pairs(above) do
    local place = document.meta[kind .. "-cap-location"]
    if place then above[kind] = pandoc.utils.stringify(place) == "top" end
  end
  local blocks = document.blocks:walk(walker(nil)):walk({ Image = set_alt })
  local found = {}
  for id, text in pairs(numbers) do found[id] = pandoc.MetaString(text) end
  document.meta["reference-numbers"] = found
  document.blocks = blocks
  return document
end
