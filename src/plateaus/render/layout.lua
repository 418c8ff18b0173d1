-- Make grids (layout-ncol, layout-nrow, layout), and the footer, which the template puts after the text.

local function is_image(inline)
  return inline.t == "Image" or (inline.t == "Link" and #inline.content == 1 and inline.content[1].t == "Image")
end

-- Each block is a cell; in a paragraph that holds only pictures, each picture is a cell.
local function cells_of(blocks)
  local cells = pandoc.List({})
  for _, block in ipairs(blocks) do
    local pictures = pandoc.List({})
    if block.t == "Para" then
      for _, inline in ipairs(block.content) do
        if is_image(inline) then
          pictures:insert(inline)
        elseif inline.t ~= "Space" and inline.t ~= "SoftBreak" and inline.t ~= "LineBreak" then
          pictures = nil
          break
        end
      end
    end
    if pictures and #pictures > 0 then
      for _, image in ipairs(pictures) do cells:insert(pandoc.Div({ pandoc.Plain({ image }) })) end
    else
      cells:insert(pandoc.Div({ block }))
    end
  end
  return cells
end

-- Return the rows, each a list of relative widths; a negative width is a gap.
local function rows_of(attributes, count)
  local layout = attributes.layout
  if layout then
    local decoded = pandoc.json.decode(layout, false)
    return type(decoded[1]) == "table" and decoded or { decoded }
  end
  local columns = tonumber(attributes["layout-ncol"])
  local rows = tonumber(attributes["layout-nrow"])
  columns = columns or (rows and math.ceil(count / rows)) or 1
  local even, found = {}, {}
  for i = 1, columns do even[i] = 1 end
  for i = 1, math.ceil(count / columns) do found[i] = even end
  return found
end

local function grid(div)
  local attributes = div.attributes
  if not (attributes["layout-ncol"] or attributes["layout-nrow"] or attributes.layout) then return nil end
  local cells = cells_of(div.content)
  local blocks, place = pandoc.Blocks({}), 1
  for _, widths in ipairs(rows_of(attributes, #cells)) do
    local row, columns = pandoc.Blocks({}), {}
    for _, width in ipairs(widths) do
      table.insert(columns, string.format("minmax(0,%gfr)", math.abs(width)))
      if width < 0 then
        row:insert(pandoc.Div({}, pandoc.Attr("", { "layout-gap" })))
      elseif cells[place] then
        row:insert(cells[place])
        place = place + 1
      end
    end
    local style = "--columns:" .. table.concat(columns, " ")
    blocks:insert(pandoc.Div(row, pandoc.Attr("", { "layout-row" }, { style = style })))
  end
  for i = place, #cells do blocks:insert(cells[i]) end
  for _, name in ipairs({ "layout", "layout-ncol", "layout-nrow", "layout-align", "layout-valign" }) do
    attributes[name] = nil
  end
  return pandoc.Div(blocks, pandoc.Attr(div.identifier, div.classes .. { "layout" }, attributes))
end

function Pandoc(document)
  document.blocks = document.blocks:walk({ Div = grid })
  local last = document.blocks[#document.blocks]
  if last and last.t == "Div" and last.classes:includes("rendered-by") then
    document.blocks:remove(#document.blocks)
    document.meta.footer = pandoc.MetaBlocks({ last })
  elseif document.meta["rendered-by"] then
    local text = pandoc.utils.stringify(document.meta["rendered-by"])
    document.meta.footer = pandoc.MetaInlines({ pandoc.Str("Rendered by " .. text .. ".") })
  end
  return document
end
