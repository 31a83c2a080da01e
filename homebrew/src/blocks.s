; Blocks that are hit from below: coins, berries, broken bricks. And coins that lie about.

.include "memory.inc"

BUMP_FRAMES  = 12
COIN_FRAMES  = 24
PIECE_FRAMES = 40
PIECE_SPEED  = .lobyte(-4)
BRICK_POINTS = 5 ; 50

.segment "CODE"

; The hero's head hits the block at probe_page, probe_at.
hit_block:
  ldy probe_at
  lda probe_page
  lsr
  lda tiles, y
  bcc :+
  lda tiles + TILES_PAGE, y
: cmp #TILE_BRICK
  beq @brick
  cmp #TILE_PAW
  beq @coin
  cmp #TILE_BERRY
  beq @berry
  rts
@coin:
  jsr add_coin
  jsr block_place
  lda t0
  sta coin_x
  lda t1
  sta coin_page
  lda t2
  sta coin_y
  lda #COIN_FRAMES
  sta coin_timer
  bne @empty ; always
@berry:
  jsr block_place
  jsr release_berry
@empty:
  lda #TILE_EMPTY
  ldx #SPR_EMPTY_BLOCK
  bne bump ; always
@brick:
  ldx #SPR_BRICK
  ldy power
  beq bump
  lda #TILE_AIR ; tall, he breaks it
  jsr put_tile
  jsr block_place
  lda t0
  sta piece_x
  lda t1
  sta piece_page
  lda t2
  sta piece_y
  lda #PIECE_FRAMES
  sta piece_timer
  lda #PIECE_SPEED
  sta piece_speed
  lda #BRICK_POINTS
  ldx #5
  jmp add_score

; Throws the block up as picture X; it comes back as metatile A.
bump:
  pha
  stx t7
  lda probe_page ; one that is still in the air comes down first
  pha
  lda probe_at
  pha
  jsr end_bump
  pla
  sta probe_at
  sta bump_at
  pla
  sta probe_page
  sta bump_page
  pla
  sta bump_becomes
  lda t7
  sta bump_picture
  lda #BUMP_FRAMES
  sta bump_timer
  lda #TILE_BUMPED
  jmp put_tile

end_bump:
  lda bump_timer
  beq :+
  lda #0
  sta bump_timer
  lda bump_page
  sta probe_page
  lda bump_at
  sta probe_at
  lda bump_becomes
  jmp put_tile
: rts

; t0 and t1 = x and its page, t2 = y of the metatile at probe_page, probe_at.
block_place:
  lda probe_page
  sta t1
  lda probe_at
  asl
  asl
  asl
  asl
  sta t0
  lda probe_at
  and #$F0
  clc
  adc #32
  sta t2
  rts

update_blocks:
  lda bump_timer
  cmp #1
  bne :+
  jsr end_bump
: lda bump_timer
  beq :+
  dec bump_timer
: lda coin_timer
  beq :+
  dec coin_timer
: lda piece_timer
  beq @done
  dec piece_timer
  lda piece_timer ; they fall faster every fourth frame
  and #3
  bne :+
  inc piece_speed
: lda piece_y
  clc
  adc piece_speed
  sta piece_y
@done:
  rts

draw_blocks:
  lda bump_timer
  beq @coin
  lda bump_page
  sta probe_page
  lda bump_at
  sta probe_at
  jsr block_place
  ldy bump_timer
  lda t2
  sec
  sbc bump_heights - 1, y
  ldx bump_picture
  jsr draw_square
@coin:
  lda coin_timer
  beq @pieces
  lda coin_x
  sta t0
  lda coin_page
  sta t1
  ldy coin_timer
  lda coin_y
  sec
  sbc coin_heights - 1, y
  ldx #SPR_COIN_1
  sta t3
  lda frame
  and #4
  beq :+
  ldx #SPR_COIN_2
: lda t3
  jsr draw_square
@pieces:
  lda piece_timer
  beq @done
  lda #PIECE_FRAMES
  sec
  sbc piece_timer
  lsr
  sta t4 ; they drift apart
  lda piece_x
  sec
  sbc t4
  sta t0
  lda piece_page
  sbc #0
  sta t1
  jsr draw_pair
  lda piece_x
  clc
  adc #8
  sta t0
  lda piece_page
  adc #0
  sta t1
  lda t0
  clc
  adc t4
  sta t0
  bcc :+
  inc t1
: jmp draw_pair
@done:
  rts

; Draws picture X, 16 by 16, at t0 and t1, y in A.
draw_square:
  sta t3
  jsr on_screen
  stx t0
  lda #PAL_HERO
  sta t1
  lda #2
  sta t2
  lda #1
  sta t4
  jmp draw_image

; t5 and t6 = t0 and t1, seen from the screen's left edge.
on_screen:
  lda t0
  sec
  sbc edge
  sta t5
  lda t1
  sbc edge_page
  sta t6
  rts

; Draws two pieces, one above the other, at t0 and t1.
draw_pair:
  jsr on_screen
  lda t6
  bne @done
  ldx oam_next
  beq @done
  lda piece_y
  jsr @piece
  ldx oam_next
  beq @done
  lda piece_y
  clc
  adc #12
@piece:
  cmp #240
  bcs @done
  sta oam, x
  lda #SPR_PIECE
  sta oam + 1, x
  lda #PAL_HERO
  sta oam + 2, x
  lda t5
  sta oam + 3, x
  inx
  inx
  inx
  inx
  stx oam_next
@done:
  rts

; He takes the coins in which the middle of him is.
touch_coins:
  ldx #0
  ldy #24
  jsr @at
  lda power
  beq @done
  ldy #8
@at:
  lda #8
  jsr probe
  cmp #TILE_COIN
  bne @done
  lda #TILE_AIR
  jsr put_tile
  jmp add_coin
@done:
  rts

.segment "RODATA"

; How high they are, by the frames that are left.
bump_heights: .byte 1, 3, 4, 5, 6, 6, 6, 6, 5, 4, 3, 2
coin_heights: .byte 18, 21, 24, 27, 30, 32, 34, 36, 37, 38, 39, 40
              .byte 40, 39, 38, 37, 36, 34, 32, 30, 27, 24, 21, 18
