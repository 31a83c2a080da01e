; The camera, and the columns that come into its view.
;
; Memory and the two screens hold 32 columns of 16 pixels, as a ring. They are drawn AHEAD columns
; from the left edge of the screen, one column in three frames: its left half, its right half, and
; the colours of two columns.

.include "memory.inc"

AHEAD = 24 ; 17 are in view; the others are for creatures that come
FIXED = 112 ; the hero gets no further right on the screen

.segment "CODE"

; Follows the hero to the right, never back, to the end of the level.
move_camera:
  lda obj_x
  sec
  sbc #FIXED
  sta t0
  lda obj_x_page
  sbc #0
  bcc @done ; left of where the camera starts
  sta t1
  lda edge
  sec
  sbc t0
  lda edge_page
  sbc t1
  bcs @done ; no further than it is
  lda level_columns ; the last place is 16 columns before the end
  sec
  sbc #16
  jsr columns_to_pixels
  lda t0
  cmp t2
  lda t1
  sbc t3
  bcs @at_end
  lda t0
  sta edge
  lda t1
  sta edge_page
@done:
  rts
@at_end:
  lda t2
  sta edge
  lda t3
  sta edge_page
  rts

; t2 and t3 = A * 16.
columns_to_pixels:
  pha
  asl
  asl
  asl
  asl
  sta t2
  pla
  lsr
  lsr
  lsr
  lsr
  sta t3
  rts

; Carries on with the column that is due, if one is.
stream_columns:
  lda column_step
  bne draw_column
  lda edge
  lsr
  lsr
  lsr
  lsr
  sta t0
  lda edge_page
  asl
  asl
  asl
  asl
  ora t0
  clc
  adc #AHEAD
  bcs :+ ; beyond the longest level
  cmp column_next
  bcc @done
: lda column_next
  cmp level_columns
  bcc draw_column
@done:
  rts

; Draws a third of column column_next. Out: Z once the column is complete.
draw_column:
  lda column_step
  beq @left
  lsr
  beq @right
  lda #0
  sta column_step
  lda column_next
  inc column_next
  lsr
  bcc :+ ; colours are for two columns: after the second
  jsr queue_colours
: lda column_step
  rts
@left:
  jsr decode_column
  jsr column_colour
  ldx #0 ; upper left and lower left
  jsr queue_strip
  inc column_step ; never 0
  rts
@right:
  ldx #1
  jsr queue_strip
  inc column_step
  rts

; Fetches the metatiles of column column_next, and keeps the solid ones in the tile buffer.
decode_column:
  lda column_next
  asl
  sta t0
  lda #0
  rol
  sta t1
  lda t0
  clc
  adc column_list
  sta t0
  lda t1
  adc column_list + 1
  sta t1
  ldy #0
  lda (t0), y
  sta pointer
  iny
  lda (t0), y
  sta pointer + 1
  lda column_next ; bit 4 is the page's parity
  and #$0F
  sta t2
  lda column_next
  and #$10
  beq :+
  lda #TILES_PAGE
: clc
  adc t2
  sta t2
  lda #0
  rol ; the second page's last rows are beyond 256 bytes
  adc #>tiles
  sta t3
  ldy #0
@row:
  lda (pointer), y
  sta column_tiles, y
  sta t4
  rol
  rol
  rol
  and #3 ; its palette
  tax
  lda t4
  cmp first_solid, x
  bcs :+
  lda #TILE_AIR
: ldx #0
  sta (t2, x)
  lda t2
  clc
  adc #16
  sta t2
  bcc :+
  inc t3
: iny
  cpy #13
  bne @row
  rts

; Puts the palettes of the column's metatiles into its half of the attribute bytes.
column_colour:
  lda column_next
  lsr
  lda #%11001100 ; left half
  bcc :+
  lda #%00110011
: sta t0 ; what the other column's half keeps
  eor #$FF
  sta t1
  ldy #0
  ldx #0
@pair:
  lda column_tiles, y
  and #$C0
  lsr
  lsr
  lsr
  lsr
  sta t2
  lsr
  lsr
  ora t2 ; the upper row's is at bits 0 and 2
  and #%00001111
  sta t3
  lda #0
  iny
  cpy #13
  beq :+ ; the last row stands alone
  lda column_tiles, y
  and #$C0
  sta t2
  lsr
  lsr
  ora t2
: ora t3
  and t1
  sta t2
  lda column_colours, x
  and t0
  ora t2
  sta column_colours, x
  inx
  iny
  cpx #7
  bne @pair
  rts

; Queues one half of the column, X: 0 left, 1 right.
queue_strip:
  stx t4
  lda column_next
  and #$10
  lsr
  lsr
  ora #$20 ; $20 or $24: which screen
  sta t0
  lda column_next
  and #$0F
  asl
  ora t4
  ora #$80 ; below the status line
  sta t1
  lda #26 | DOWN
  jsr queue_open
  lda #0
  sta t5
@row:
  ldy t5
  lda column_tiles, y
  tay
  lda t4
  bne @right
  lda metatile_upper_left, y
  sta vram_queue, x
  inx
  lda metatile_lower_left, y
  jmp :+
@right:
  lda metatile_upper_right, y
  sta vram_queue, x
  inx
  lda metatile_lower_right, y
: sta vram_queue, x
  inx
  inc t5
  lda t5
  cmp #13
  bne @row
  jmp queue_close

; Queues the attribute bytes of the pair of columns that ended with column_next - 1.
queue_colours:
  ldy column_next
  dey
  tya
  and #$10
  lsr
  lsr
  ora #$23
  sta t0
  tya
  and #$0F
  lsr
  ora #$C8 ; the second row of attributes; the first is the status line's
  sta t1
  ldy #0
@row:
  lda #1
  jsr queue_open
  lda column_colours, y
  sta vram_queue, x
  inx
  jsr queue_close
  lda t1
  clc
  adc #8
  sta t1
  iny
  cpy #7
  bne @row
  rts

.segment "RODATA"

; The first number of each palette that is not mere scenery.
first_solid:
  .byte $10, $50, $90, $C0
